"""Several places worked on at once, with an end at any moment."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from layerkit.errors import LayerkitError
from layerkit.publish.calls import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

_AT_ONCE = 4
_LAST_WORDS = 5.0  # seconds that requests under way get to be answered when the run is given up


def at_once(items: Iterable[T], step: Callable[[T], None], stop: threading.Event) -> list[LayerkitError]:
    """Take a step with every item, a few at a time, and return the errors there were.

    What fails with one item is no reason to stop with the others. An interrupt sets `stop`, after which
    every step ends with StoppedError as soon as it can.
    """
    crew = _Crew(items, step, stop)
    try:
        crew.run()
    except BaseException:
        stop.set()
        crew.over.wait(_LAST_WORDS)
        raise
    return crew.errors


class _Crew(Generic[T]):
    """The threads of one call."""

    def __init__(self, items: Iterable[T], step: Callable[[T], None], stop: threading.Event) -> None:
        self._waiting, self._step, self._stop = deque(items), step, stop
        self._working, self._lock = 0, threading.Lock()
        self._faults: list[BaseException] = []
        self.errors: list[LayerkitError] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Work until nothing is left.

        Daemons, because a thread that waits for an answer cannot be woken. And an event, because a join
        that was interrupted takes its thread for one that has ended.
        """
        self._working = max(1, min(_AT_ONCE, len(self._waiting)))
        for _ in range(self._working):
            threading.Thread(target=self._work, daemon=True).start()
        self.over.wait()
        if self._faults:
            raise self._faults[0]

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._waiting.popleft()
            except IndexError:
                break
            self._take(item)
        with self._lock:
            self._working -= 1
            if not self._working:
                self.over.set()

    def _take(self, item: T) -> None:
        try:
            self._step(item)
        except StoppedError:
            return
        except LayerkitError as error:
            self.errors.append(error)
        except BaseException as error:  # noqa: BLE001 - a fault of ours: raised again by the thread that waits
            self._faults.append(error)
