"""A stage: stacks of finished zips laid down in the runtime's image, and run as Lambda runs them.

Two containers share three volumes. The first unpacks, as root: /opt from the layers in their order, one
over the other, /var/task from the function's code. The second is the function's: it sees the same volumes
and cannot write to them nor anywhere but to a /tmp of limited size, has so much memory, no network, no
rights, and Lambda's environment. A target has one stage for all of its stacks, each laid down in turn.

What the second one says is what hostile code may have made it say, so it is read as strictly as a file.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.container.room import Furnishing
from layerkit.container.tarred import Entry
from layerkit.errors import EngineError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerkit.container.images import Image
    from layerkit.container.room import Room, Rooms
    from layerkit.target import Target

MIB = 1 << 20
_ZIPS, _TOOLS, _OPT, _TASK = "/zips", "/layerkit", "/opt", "/var/task"
_REGION = "us-east-1"
_LOOK = """
import importlib.util, json, pwd
try:
    user = pwd.getpwnam("nobody")
    ids = [user.pw_uid, user.pw_gid]
except KeyError:
    ids = [65534, 65534]
print(json.dumps({"user": ids, "pip": importlib.util.find_spec("pip") is not None}))
"""


class Limits(Struct, frozen=True, kw_only=True):
    """What a function may use: memory and /tmp in bytes, and how long one import may take in seconds."""

    memory: int = 512 * MIB
    tmp: int = 512 * MIB
    timeout: float = 60.0


class Imported(Struct, frozen=True, kw_only=True):
    """What came of importing one module in a process of its own.

    Where it failed: `error` is the exception's last line, `kind` its type, `missing` the module that
    was not found behind it; `signal` and `exit` say how the process ended, `stopped` that it took more
    "memory" or "time" than it may; `printed` is the end of what it printed.
    """

    module: str
    ok: bool
    seconds: float
    error: str | None = None
    kind: str | None = None
    missing: str | None = None
    signal: int | None = None
    exit: int | None = None
    stopped: str | None = None
    printed: str = ""


class Seen(Struct, frozen=True, kw_only=True):
    """What was seen of one stack: the image's Python and glibc, pip's words, every import.

    `pip_code` is what `pip check` ended with, `pip_said` what it printed. `path_error` says why
    sys.path could not even be set up, in which case nothing else was tried.
    """

    python: str
    glibc: str | None
    pip: str | None = None
    pip_code: int | None = None
    pip_said: str = ""
    path_error: str | None = None
    imports: tuple[Imported, ...] = ()


class Stage:
    """The two containers of one target. Made by `open_stage`."""

    def __init__(self, target: Target, unpacks: Room, function: Room, limits: Limits) -> None:
        """Keep the rooms; the scripts are in the tools' volume already."""
        self._target = target
        self._unpacks = unpacks
        self._function = function
        self._limits = limits
        self._zips: dict[Path, str] = {}
        look = json.loads(unpacks.output([target.interpreter, "-c", _LOOK]))
        self._user = ":".join(map(str, look["user"]))
        self._pip: str | None = None
        self.has_pip: bool = look["pip"]

    def bring_pip(self, wheel: Path, filename: str) -> None:
        """Have the pip of a wheel used, which the image lacks."""
        self._unpacks.put(_TOOLS, [Entry(name=filename, path=wheel)])
        self._pip = f"{_TOOLS}/{filename}"

    def see(self, layers: Sequence[Path], code: Path | None, modules: Sequence[str]) -> Seen:
        """Lay one stack down, lowest layer first, run `pip check` and import the modules.

        Raises EngineError where the image's interpreter cannot do that.
        """
        plan = {_OPT: [self._sent(path) for path in layers], _TASK: [self._sent(code)] if code else []}
        self._unpacks.output([self._target.interpreter, f"{_TOOLS}/unpack.py", json.dumps(plan)])
        asked = probe_plan(self._target, modules, self._limits) | {"pip": self._pip}
        command = [self._target.interpreter, f"{_TOOLS}/probe.py", json.dumps(asked)]
        said = self._function.output(
            command, env=environment(self._target, self._limits), user=self._user, workdir=_TASK
        )
        return read_answers(said, self._function.image.reference)

    def _sent(self, path: Path) -> str:
        """Send a zip once, and return its path there."""
        if path not in self._zips:
            name = f"{len(self._zips)}.zip"
            self._unpacks.put("/", [Entry(name=f"{_ZIPS[1:]}/{name}", path=path)])
            self._zips[path] = f"{_ZIPS}/{name}"
        return self._zips[path]


def open_stage(rooms: Rooms, image: Image, target: Target, limits: Limits) -> Stage:
    """Start the two containers of a target, with the scripts in them."""
    volumes = tuple((rooms.volume(), path) for path in (_OPT, _TASK, _TOOLS))
    writable = Furnishing(network="none", volumes=tuple((name, path, "rw,nocopy") for name, path in volumes))
    limited = Furnishing(
        network="none",
        memory=limits.memory + limits.tmp,
        temporary=(("/tmp", f"size={limits.tmp},mode=1777,exec"),),  # noqa: S108 - Lambda's own folder
        volumes=tuple((name, path, "ro,nocopy") for name, path in volumes),
        read_only=True,
    )
    unpacks = rooms.room(image, writable)
    scripts = files("layerkit.container").joinpath("inside")
    unpacks.put(
        _TOOLS,
        [Entry(name=name, content=scripts.joinpath(name).read_bytes()) for name in ("probe.py", "unpack.py")],
    )
    return Stage(target, unpacks, rooms.room(image, limited), limits)


def probe_plan(target: Target, modules: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return what the probe is told: where a function's things are, what to import, what it may take."""
    return {
        "folders": {
            "task": _TASK,
            "site": f"/opt/{target.site_packages('versioned')}",
            "opt": "/opt/python",
            "runtime": "/var/runtime",
        },
        "modules": list(modules),
        "timeout": limits.timeout,
        "memory": limits.memory,
    }


def environment(target: Target, limits: Limits) -> dict[str, str]:
    """Return the variables that Lambda sets for a function, but for the credentials."""
    return {
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task"
        ":/var/task/lib:/opt/lib",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PYTHONPATH": "/var/runtime",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": _TASK,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{target.runtime}",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_LAMBDA_FUNCTION_NAME": "layerkit-check",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(limits.memory // MIB),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }


def read_answers(said: str, reference: str) -> Seen:
    """Return what the probe saw, from its answers: one JSON document a line. Raises EngineError."""
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for line in said.splitlines():
            ((kind, document),) = json.loads(line).items()
            found.setdefault(kind, []).append(document)
        (about,) = found["about"]
        if "end" not in found:
            raise KeyError("end")  # noqa: TRY301 - the same fault as an answer that cannot be read
        return Seen(
            python=str(about["python"]),
            glibc=about["glibc"],
            path_error=about.get("error"),
            imports=tuple(sorted(map(_imported, found.get("import", ())), key=lambda one: one.module)),
            **_pip(found.get("pip", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"the check inside the image broke off: {redact(said[-500:])}", where=reference
        ) from error


def _pip(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what `pip check` said, in the terms of Seen."""
    for one in answers:
        said = str(one.get("printed") or one.get("error") or "")
        return {"pip": one.get("version"), "pip_code": one.get("code"), "pip_said": redact(said)}
    return {}


def _imported(answer: Mapping[str, Any]) -> Imported:
    """Read one answer; whatever stands in it was said by code that was imported."""

    def text(key: str) -> str | None:
        return None if answer.get(key) is None else redact(str(answer[key]))

    def number(key: str) -> int | None:
        return None if answer.get(key) is None else int(answer[key])

    return Imported(
        module=str(answer["module"]),
        ok=answer["ok"] is True,
        seconds=float(answer["seconds"]),
        error=text("error"),
        kind=text("kind"),
        missing=text("missing"),
        signal=number("signal"),
        exit=number("exit"),
        stopped=text("stopped"),
        printed=text("printed") or "",
    )
