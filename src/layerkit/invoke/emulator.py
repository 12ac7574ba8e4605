"""The runtime's own image, and the emulator of Lambda in it: `--engine docker`.

The layers and the code are laid down in volumes, as `check --in-image` does it. A container that sees them
read-only runs the image's entry point, Lambda's Runtime Interface Emulator, and each event is sent to it from
within the container: the engine may be anywhere, and no port is opened. The emulator's log is the function's.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerkit.container.images import ready, reference
from layerkit.container.room import Furnishing
from layerkit.container.tarred import Entry
from layerkit.errors import EngineError
from layerkit.invoke.function import Outcome, failed
from layerkit.invoke.layout import lay_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from layerkit.container.images import Image
    from layerkit.container.room import Room, Rooms
    from layerkit.invoke import Job
    from layerkit.invoke.function import Function

_ENTRY, _TOOLS, _USER = "/lambda-entrypoint.sh", "/layerkit", "993:990"
_UNPACK = "unpack.py"
_PATIENCE = 15.0
# Python 3.6 to 3.14 in the image run this; what the emulator does not answer in time is an error of its own.
_SEND = """
import sys, time, urllib.request
address = "http://127.0.0.1:8080/2015-03-31/functions/function/invocations"
body, until = open(sys.argv[1], "rb").read(), time.time() + float(sys.argv[2])
while True:
    try:
        answer = urllib.request.urlopen(address, body, float(sys.argv[3])).read()
        break
    except OSError:
        if time.time() > until:
            raise
        time.sleep(0.05)
sys.stdout.buffer.write(answer)
"""
_FIGURES = {name: re.compile(rf"\t{name}: ([\d.]+) ms") for name in ("Init Duration", "Duration")}
_REQUEST = re.compile(r"REPORT RequestId: (\S+)")


class _Heard:
    """What the emulator prints: passed on, and kept since the last event."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self.text = b""

    def write(self, chunk: bytes) -> None:
        """Take what was printed."""
        chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self.text += chunk
        self._hear(chunk)


def run(
    job: Job,
    events: Iterable[bytes],
    rooms: Rooms,
    images: Mapping[str, str],
    talk: Callable[[str], None],
    hear: Callable[[bytes], None],
    *,
    offline: bool = False,
) -> list[Outcome]:
    """Send events to the emulator in the runtime's image, and return what came of each.

    `images` are the project's own. Raises EngineError where there is no engine, image or emulator.
    """
    target = job.function.target
    image = ready(rooms.engine, reference(target, "run", images), target.arch, talk, offline=offline)
    volumes = tuple((rooms.volume(), path) for path in ("/opt", "/var/task", _TOOLS))
    tools = _laid(job, rooms, image, volumes)
    room = rooms.room(image, _furnishing(job.function, volumes))
    code, _, _ = room.captured(["/bin/sh", "-c", f"test -x {_ENTRY}"])
    if code:
        fix = "name the image that Lambda publishes: LAYERKIT_IMAGE_... or [tool.layerkit.docker]"
        raise EngineError(
            f"the image has no emulator of Lambda: there is no {_ENTRY}", where=image.reference, fix=fix
        )
    heard = _Heard(hear)
    threading.Thread(target=_serve, args=(job.function, room, heard), daemon=True).start()
    return [_answer(job.function, tools, room, heard, event) for event in events]


def _laid(job: Job, rooms: Rooms, image: Image, volumes: tuple[tuple[str, str], ...]) -> Room:
    """Unpack layers and code into the volumes; return the room that may write there."""
    writable = Furnishing(network="none", volumes=tuple((name, path, "rw,nocopy") for name, path in volumes))
    tools = rooms.room(image, writable)
    script = Path(__file__).parents[1] / "container" / "inside" / _UNPACK
    zips = [Entry(name=f"zips/{number}.zip", path=path) for number, path in enumerate(job.layers)]
    tools.put(_TOOLS, [Entry(name=_UNPACK, content=script.read_bytes()), *zips])
    plan = {"/opt": [f"{_TOOLS}/{entry.name}" for entry in zips]}
    tools.output([job.function.target.interpreter, f"{_TOOLS}/{_UNPACK}", json.dumps(plan)])
    with tempfile.TemporaryDirectory(prefix="layerkit-invoke-") as name:
        lay_code(job.code, Path(name), job.apart)
        files = [path for path in sorted(Path(name).rglob("*")) if path.is_file()]
        tools.put("/var/task", [_entry(path, Path(name)) for path in files])
    return tools


def _entry(path: Path, folder: Path) -> Entry:
    mode = path.stat().st_mode & 0o777
    return Entry(name=path.relative_to(folder).as_posix(), path=path, mode=mode)


def _furnishing(function: Function, volumes: tuple[tuple[str, str], ...]) -> Furnishing:
    """Return a container that can write to /tmp alone and has the function's memory."""
    limits = function.limits
    return Furnishing(
        memory=limits.memory + limits.tmp,
        temporary=(("/tmp", f"size={limits.tmp},mode=1777,exec"),),  # noqa: S108 - Lambda's own folder
        volumes=tuple((name, path, "ro,nocopy") for name, path in volumes),
        read_only=True,
    )


def _serve(function: Function, room: Room, heard: _Heard) -> None:
    """Run the emulator until its container goes."""
    of_image = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "LANG", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT")
    variables = {key: text for key, text in function.variables().items() if key not in of_image}
    variables |= {"AWS_LAMBDA_FUNCTION_TIMEOUT": f"{function.limits.timeout:g}", **function.environment}
    with suppress(EngineError):  # the container is gone, or the next event tells
        room.run([_ENTRY, function.handler], heard, env=variables, user=_USER, workdir="/var/task")  # type: ignore[arg-type] # as a Log, it takes what is written


def _answer(function: Function, tools: Room, room: Room, heard: _Heard, event: bytes) -> Outcome:
    """Send one event, and return what the emulator says of it."""
    heard.text = b""
    tools.put(_TOOLS, [Entry(name="event.json", content=event)])
    limit = function.limits.timeout + _PATIENCE
    words = [function.target.interpreter, "-c", _SEND, f"{_TOOLS}/event.json", str(_PATIENCE), str(limit)]
    code, out, error = room.captured(words)
    if code:
        said = heard.text.decode("utf-8", "replace").strip() or error.strip()
        raise EngineError(f"the emulator does not answer: {said[-500:]}", where=room.image.reference)
    until = time.monotonic() + 2
    while not _REQUEST.search(log := heard.text.decode("utf-8", "replace")) and time.monotonic() < until:
        time.sleep(0.02)
    request = found[1] if (found := _REQUEST.search(log)) else "unknown"
    figures = {name: float(match[1]) / 1000 for name, one in _FIGURES.items() if (match := one.search(log))}
    payload, kind = _read(out, request)
    return Outcome(
        request=request,
        payload=payload,
        seconds=figures.get("Duration", 0.0),
        memory=None,
        error=kind,
        status="timeout" if kind == "Sandbox.Timedout" else "error" if kind else "success",
        init=figures.get("Init Duration"),
        log=log,
    )


def _read(out: str, request: str) -> tuple[bytes, str | None]:
    """Return the payload, and the type of the error where it is one; the emulator tells a timeout as text."""
    try:
        document: Any = json.loads(out)
    except ValueError:
        kind = "Sandbox.Timedout" if "timed out" in out else "Runtime.ExitError"
        return failed(request, kind, out.strip()), kind
    if isinstance(document, dict) and {"errorType", "errorMessage"} <= document.keys():
        return out.encode(), str(document["errorType"])
    return out.encode(), None
