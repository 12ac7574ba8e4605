"""Events, one after the other, on an environment that stays warm as long as it lives."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

from layerkit.invoke.environment import TIMED_OUT, Environment, Failure, environment
from layerkit.invoke.function import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

    from layerkit.invoke.function import Folders, Function
    from layerkit.invoke.room import Room

# Lambda gives a function so many seconds to start; after that it starts again, on the handler's time.
_INIT = 10.0


class Invoker:
    """Invokes one function. Use it in a `with` block, which ends the function's process."""

    def __init__(
        self, function: Function, folders: Folders, room: Room, scratch: Path, hear: Callable[[bytes], None]
    ) -> None:
        """Keep what an environment is made of; none is started before the first event."""
        self._function = function
        self._made_of = (function, folders, room)
        self._scratch = scratch
        self._hear = hear
        self._heard: list[bytes] = []
        self._environment: Environment | None = None
        self._open = ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the environment, if there is one."""
        self._close()

    def invoke(self, payload: bytes) -> Outcome:
        """Send an event, JSON, and return what came of it; after a crash the next starts anew."""
        request = str(uuid.uuid4())
        self._heard.clear()
        limit = self._function.limits.timeout
        init, lost = None, 0.0
        if self._environment is None or not self._environment.alive:
            init = self._started(_INIT, "init")
            if isinstance(init, Failure) and init.kind == TIMED_OUT:
                init = self._started(limit, "invoke")
                lost, init = (init, None) if isinstance(init, float) else (0.0, init)
        self._say(f"START RequestId: {request} Version: $LATEST")
        if isinstance(init, Failure):
            return self._outcome(request, 0.0, init, None)
        assert self._environment is not None  # noqa: S101 - it has just been started
        seconds, answer = self._environment.answer(request, payload, limit - lost)
        return self._outcome(request, seconds + lost, answer, init)

    def _started(self, limit: float, phase: str) -> float | Failure:
        """Start an environment; return the seconds that took, or why there is none."""
        self._close()
        target = self._function.target
        self._count += 1
        scratch = self._scratch / str(self._count)
        self._say(f"INIT_START Runtime Version: {target.runtime}")
        started = self._open.enter_context(environment(*self._made_of, scratch, self._take))
        self._environment = started
        found = started.ready(limit)
        if isinstance(found, Failure):
            status = "timeout" if found.kind == TIMED_OUT else f"error\tError Type: {found.kind}"
            self._say(f"INIT_REPORT Phase: {phase}\tStatus: {status}")
            started.end()
        return found

    def _outcome(self, request: str, seconds: float, answer: bytes | Failure, init: float | None) -> Outcome:
        """Say the last lines of the log, and return what came of an event."""
        error = answer.kind if isinstance(answer, Failure) else None
        made = Outcome(
            request=request,
            payload=answer.payload if isinstance(answer, Failure) else answer,
            seconds=seconds,
            memory=self._environment.memory if self._environment else None,
            error=error,
            status="timeout" if error == TIMED_OUT else "error" if error else "success",
            init=init,
        )
        self._say(f"END RequestId: {request}")
        self._say(made.report(self._function))
        if error == TIMED_OUT:
            self._say(f"{request} Task timed out after {self._function.limits.timeout:.2f} seconds")
        return _with_log(made, b"".join(self._heard).decode("utf-8", "replace"))

    def _say(self, line: str) -> None:
        """Write a line of Lambda's own, on a line of its own."""
        begun = self._heard and not self._heard[-1].endswith(b"\n")
        self._take(f"{chr(10) if begun else ''}{line}\n".encode())

    def _take(self, chunk: bytes) -> None:
        """Pass on what was written; awslambdaric joins the lines of a message by carriage returns."""
        chunk = chunk.replace(b"\r", b"\n")
        self._heard.append(chunk)
        self._hear(chunk)

    def _close(self) -> None:
        self._environment = None
        self._open.close()


def _with_log(outcome: Outcome, log: str) -> Outcome:
    from msgspec.structs import replace

    return replace(outcome, log=log)
