"""One environment of a function: its process, started in a room, and the events that it answers."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import StorageError
from layerkit.invoke.api import Event, RuntimeApi
from layerkit.invoke.function import failed
from layerkit.invoke.memory import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from layerkit.invoke.api import Said
    from layerkit.invoke.function import Folders, Function
    from layerkit.invoke.room import Places, Room

TIMED_OUT = "Sandbox.Timedout"
_TICK = 0.02  # seconds between two looks at a function that is at work
_PATIENCE = 10.0
_BOOTSTRAP = "bootstrap.py"
_CHUNK = 1 << 20
# What a synchronous invocation may answer, as the error of a longer answer says it.
LARGEST_ANSWER = 6_291_556


class Failure(Struct, frozen=True, kw_only=True):
    """Why there is no answer: the type of the error, and the document that the caller gets."""

    kind: str
    payload: bytes


class Environment:
    """A process that was started. Made by `environment`."""

    def __init__(
        self,
        function: Function,
        process: subprocess.Popen[bytes],
        api: RuntimeApi,
        log: Path,
        hear: Callable[[bytes], None],
    ) -> None:
        """Begin to listen; the process has begun already."""
        self._function = function
        self._process = process
        self._api = api
        self._log = log.open("rb")
        self._hear = hear
        self._meter = Meter(process.pid)
        self._began = time.monotonic()

    @property
    def memory(self) -> int | None:
        """Return the most bytes that were in memory so far, None where nobody can say."""
        return self._meter.peak or None

    def ready(self, limit: float) -> float | Failure:
        """Wait until the function asks for an event; return the seconds that took, or why it never will."""
        said = self._wait(time.monotonic() + limit, limit, "")
        if isinstance(said, Failure):
            return said
        return said.when - self._began if said.how == "ready" else _told(said.body)

    def answer(self, request: str, payload: bytes, limit: float) -> tuple[float, bytes | Failure]:
        """Hand out an event; return the seconds until its end, and the answer or why there is none."""
        began = time.monotonic()
        arn = self._function.arn
        self._api.send(Event(request=request, payload=payload, deadline=time.time() + limit, arn=arn))
        said = self._wait(began + limit, limit, request)
        if isinstance(said, Failure):
            return min(time.monotonic() - began, limit), said
        seconds = said.when - began
        if said.how == "error":
            return seconds, _told(said.body)
        if len(said.body) > LARGEST_ANSWER:
            kind = "Function.ResponseSizeTooLarge"
            text = f"Response payload size exceeded maximum allowed payload size ({LARGEST_ANSWER} bytes)."
            document = json.dumps({"errorType": kind, "errorMessage": text}).encode()
            return seconds, Failure(kind=kind, payload=document)
        return seconds, said.body

    @property
    def alive(self) -> bool:
        """Say whether another event can be sent."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill the process and all that it started, as Lambda does, and hear its last words."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_PATIENCE)
        if not self._log.closed:
            self._listen()
            self._log.close()

    def _wait(self, until: float, limit: float, request: str) -> Said | Failure:
        """Wait for what the runtime says of a request, or of its start, as long as it may."""
        while True:
            said = None
            with suppress(queue.Empty):
                said = self._api.said.get(timeout=_TICK)
            held = self._meter.look()
            self._listen()
            if said is not None and said.request == request:
                return said
            if held > self._function.limits.memory:
                return self._gone(request, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
            if self._process.poll() is not None and self._api.said.empty():
                return self._gone(request, "Runtime.ExitError", _ending(self._process.returncode))
            if time.monotonic() > until:
                return self._gone(request, TIMED_OUT, f"Task timed out after {limit:.2f} seconds")

    def _gone(self, request: str, kind: str, text: str) -> Failure:
        self.end()
        return Failure(kind=kind, payload=failed(request, kind, text))

    def _listen(self) -> None:
        """Hand on what the function has written since the last time."""
        while chunk := self._log.read(_CHUNK):
            self._hear(chunk)


@contextmanager
def environment(
    function: Function, folders: Folders, room: Room, scratch: Path, hear: Callable[[bytes], None]
) -> Iterator[Environment]:
    """Start a function's process in a room, and end it with the block.

    `scratch` is for its root and its log; `hear` is given what it writes to stdout and stderr.
    """
    root, log = scratch / "root", scratch / "log"
    root.mkdir(parents=True, exist_ok=True)
    api = RuntimeApi()
    places = room.places(function, folders)
    command = room.command(function, folders, root, _command(function, places))
    with api.serving(), log.open("wb") as output:
        process = _started(command, room.variables(function, folders, api.address), output, folders.task)
        started = Environment(function, process, api, log, hear)
        try:
            yield started
        finally:
            started.end()


def _started(
    command: list[str], variables: Mapping[str, str], output: Any, folder: Path
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - the handler is what the user wants to run
            command,
            env=dict(variables),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise StorageError(f"the function cannot be started: {error.strerror}", where=command[0]) from error


def _command(function: Function, places: Places) -> list[str]:
    """Return what Lambda runs: the runtime, through the wrapper where the function names one."""
    command = [places.python, f"{places.runtime}/{_BOOTSTRAP}", places.opt, places.packages]
    wrapper = function.environment.get("AWS_LAMBDA_EXEC_WRAPPER")
    if not wrapper:
        return command
    if wrapper.startswith("/opt/"):
        wrapper = places.opt + wrapper.removeprefix("/opt")
    return [wrapper, *command]


def _told(body: bytes) -> Failure:
    """Return the failure that the runtime told of itself."""
    try:
        document = json.loads(body)
        return Failure(kind=str(document["errorType"]), payload=body)
    except (ValueError, KeyError, TypeError):
        text = body.decode("utf-8", "replace")
        document = {"errorType": "Runtime.Unknown", "errorMessage": text}
        return Failure(kind="Runtime.Unknown", payload=json.dumps(document).encode())


def _ending(code: int) -> str:
    """Return how a process ended, in Lambda's words."""
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 0:
        return f"Runtime exited with error: exit status {code}"
    words = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}
    return f"Runtime exited with error: signal: {words.get(signal.Signals(-code), signal.strsignal(-code))}"


def bootstrap() -> bytes:
    """Return the program that stands in for the managed runtime's own start."""
    return files("layerkit.invoke").joinpath(f"inside/{_BOOTSTRAP}").read_bytes()
