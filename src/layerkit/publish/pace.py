"""Never more requests in a second than an account may make."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """Lets so many requests begin in any second; the others wait. For several threads.

    AWS counts an account's control plane requests per region, so there is one of these for each pair.
    """

    def __init__(
        self,
        per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Begin with nothing asked; `clock` gives seconds and `sleep` waits them."""
        self._begun: deque[float] = deque(maxlen=per_second)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when one more request may begin."""
        with self._lock:
            if len(self._begun) == self._begun.maxlen:
                rest = self._begun[0] + 1 - self._clock()
                if rest > 0:
                    self._sleep(rest)
            self._begun.append(self._clock())
