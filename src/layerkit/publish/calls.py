"""Requests to AWS at an account's pace, tried again where that may help, and an end at any moment.

botocore's own attempts are switched off for Lambda: it cannot know that a publish which broke off may have
made a version, which has to be looked up before it is asked for once more.
"""

from __future__ import annotations

import threading
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct, field

from layerkit.publish.faults import THROTTLED, fault
from layerkit.publish.pace import Pace
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerkit.errors import AwsError
    from layerkit.publish.faults import Fault

T = TypeVar("T")

# Attempts while AWS throttles, and at everything else that may pass; seconds before the second one (doubled
# for each after it), the longest wait of our own, and the longest that AWS may ask for.
_THROTTLED_ATTEMPTS = 10
_ATTEMPTS = 5
FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0
_LONGEST_ASKED = 120.0
_random = SystemRandom()


class StoppedError(Exception):
    """The run was given up. `perhaps_done`: a request was on its way that must not be made twice."""

    def __init__(self, *, perhaps_done: bool = False) -> None:
        """Keep what is known of the last request."""
        super().__init__()
        self.perhaps_done = perhaps_done


class PerhapsDoneError(Exception):
    """A request broke off and may have been carried out; `error` says how."""

    def __init__(self, error: AwsError, wait: float) -> None:
        """Keep the error, and the seconds to wait before another attempt."""
        super().__init__(error.what)
        self.error, self.wait = error, wait


class RefusedError(Exception):
    """AWS answered with an error that the caller asked to hear of; `code` is AWS's word for it."""

    def __init__(self, code: str, error: AwsError) -> None:
        """Keep the code and the error."""
        super().__init__(error.what)
        self.code, self.error = code, error


class Calls(Struct, frozen=True, kw_only=True):
    """How one account and region is asked; `where` stands in its errors."""

    where: str
    stop: threading.Event = field(default_factory=threading.Event)
    pace: Pace = field(default_factory=lambda: Pace(limit("requests_per_second")))

    def ask(
        self,
        action: str,
        request: Callable[[], T],
        *,
        where: str | None = None,
        hear: frozenset[str] = frozenset(),
        once: bool = False,
    ) -> T:
        """Return the answer to a request; `action` is what IAM calls it.

        Raises AwsError in the end, RefusedError for a code in `hear`, and with `once` PerhapsDoneError
        as soon as an attempt may have been carried out without our hearing of it.
        """
        attempt = 0
        while True:
            attempt += 1
            self.go_on()
            self.pace.wait()
            try:
                return request()
            except Exception as error:  # noqa: BLE001 - what is not of AWS is raised again as it is
                if self.stop.is_set() and not isinstance(error, StoppedError):
                    raise StoppedError(perhaps_done=once) from None
                failed = _known(error, action, where or self.where)
            if failed.code in hear:
                raise RefusedError(failed.code, failed.error)
            wait = _wait(failed, attempt)
            if once and failed.perhaps_done:
                raise PerhapsDoneError(failed.error, wait or 0.0) from None
            if wait is None:
                raise failed.error
            self.sleep(wait)

    def pages(
        self,
        action: str,
        request: Callable[..., Any],
        key: str,
        *,
        where: str | None = None,
        hear: frozenset[str] = frozenset(),
    ) -> Iterator[Any]:
        """Yield the items of a list under `key`, page by page, as far as they are asked for."""
        more: dict[str, str] = {}
        while True:
            page = self.ask(action, partial(request, **more), where=where, hear=hear)
            yield from page.get(key, ())
            if not page.get("NextMarker"):
                return
            more = {"Marker": page["NextMarker"]}

    def go_on(self) -> None:
        """Raise StoppedError if the run was given up."""
        if self.stop.is_set():
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """Wait, but for no longer than the run goes on."""
        self.stop.wait(seconds)
        self.go_on()


def _known(error: Exception, action: str, where: str) -> Fault:
    """Return what an exception means; one that is not botocore's is a fault of ours, and is raised again."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    if not isinstance(error, (BotoCoreError, ClientError, ResponseParserError)):
        raise error
    return fault(error, action, where)


def _wait(failed: Fault, attempt: int) -> float | None:
    """Return the seconds before another attempt; None where there shall be none.

    A random part of a span that doubles, so that many who were refused together do not return together;
    never less than AWS asked for, and no attempt where that is longer than anyone will wait.
    """
    most = _THROTTLED_ATTEMPTS if failed.code in THROTTLED else _ATTEMPTS
    if not failed.passing or attempt >= most or (failed.wait or 0) > _LONGEST_ASKED:
        return None
    span = min(_LONGEST_WAIT, FIRST_WAIT * 2**attempt)
    return (failed.wait or 0.0) + _random.uniform(0, span)
