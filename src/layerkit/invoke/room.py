"""What keeps a function in: a root of its own by namespaces or bubblewrap, else nothing.

In such a root /opt, /var/task, the interpreter in /var/lang and the runtime in /var/runtime are read-only,
/tmp is as large as the function has, and of this machine there are the system's libraries and the
network. A plain process has none of that, and what it lacks is said in one line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from layerkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerkit.invoke.function import Folders, Function

Kind = Literal["namespaces", "bubblewrap", "none"]
Asked = Literal["auto", "namespaces", "bubblewrap", "none"]

# The numbers of the user that functions run as.
_USER, _GROUP = 993, 990
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc")
_LACKS = (
    "/opt and /var/task lie elsewhere and can be written to, /tmp is this machine's and as large, and the"
    " function sees all files that you see"
)


class Places(Struct, frozen=True, kw_only=True):
    """Where the function finds its things."""

    opt: str
    task: str
    runtime: str
    packages: str
    python: str


class Room(Struct, frozen=True, kw_only=True):
    """One way to run a function; `lacks` says what it cannot keep a function from, empty for nothing."""

    kind: Kind
    lacks: str = ""

    def __str__(self) -> str:
        """Return the one line that a user reads."""
        return f"isolation {self.kind}" + (f": {self.lacks}" if self.lacks else "")

    def places(self, function: Function, folders: Folders) -> Places:
        """Return where the function finds its things."""
        if self.kind == "none":
            here = (folders.opt, folders.task, folders.runtime, folders.packages, folders.python)
            opt, task, runtime, packages, python = map(str, here)
            return Places(opt=opt, task=task, runtime=runtime, packages=packages, python=python)
        return Places(
            opt="/opt",
            task="/var/task",
            runtime="/var/runtime",
            packages=_site(function, folders),
            python=function.target.interpreter,
        )

    def command(self, function: Function, folders: Folders, root: Path, command: Sequence[str]) -> list[str]:
        """Return the command that runs another in the room; `root` is an empty folder for its root."""
        if self.kind == "none":
            return list(command)
        if self.kind == "bubblewrap":
            return [*_bubblewrap(function, folders), *command]
        script = files("layerkit.invoke").joinpath("inside/room.sh")
        mounts = (root, folders.opt, folders.task, folders.runtime, folders.packages, _lang(folders))
        more = (_site(function, folders), folders.tmp or function.limits.tmp)
        return [*_unshare(), "/bin/sh", str(script), *map(str, (*mounts, *more)), *command]

    def variables(self, function: Function, folders: Folders, api: str) -> dict[str, str]:
        """Return the environment of the function's process."""
        variables = function.variables(api)
        if self.kind != "none":
            return variables
        places = self.places(function, folders)
        elsewhere = {
            "LAMBDA_TASK_ROOT": places.task,
            "LAMBDA_RUNTIME_DIR": places.runtime,
            "PYTHONPATH": places.runtime,
            "PYTHONNOUSERSITE": "1",
            "LD_LIBRARY_PATH": f"{places.task}:{places.task}/lib:{places.opt}/lib",
            "PATH": f"{Path(places.python).parent}:{os.environ.get('PATH', os.defpath)}:{places.opt}/bin",
        }
        return {**variables, **elsewhere, **function.environment, "AWS_LAMBDA_RUNTIME_API": api}


def choose(asked: Asked = "auto") -> Room:
    """Return the best room that this machine has, or the one that is asked for.

    Raises UsageError where that one cannot be had.
    """
    found = {"namespaces": _why_no_namespaces, "bubblewrap": _why_no_bubblewrap}
    if asked == "none":
        return Room(kind="none", lacks=_LACKS)
    if asked != "auto":
        if why := found[asked]():
            fix = "leave the choice to layerkit, or --isolation none"
            raise UsageError(f"{asked} cannot be had here: {why}", fix=fix)
        return Room(kind=asked)
    reasons = []
    for kind in ("namespaces", "bubblewrap"):
        why = found[kind]()
        if why is None:
            return Room(kind=kind)
        reasons.append(f"no {kind} ({why})")
    return Room(kind="none", lacks=f"{' and '.join(reasons)}, so {_LACKS}")


@cache
def _why_no_namespaces() -> str | None:
    """Return what keeps namespaces from being used here, or None."""
    return _tried([*_unshare(), "true"], "unshare")


@cache
def _why_no_bubblewrap() -> str | None:
    """Return what keeps bubblewrap from being used here, or None."""
    return _tried(["bwrap", "--ro-bind", "/", "/", "--unshare-user", "true"], "bwrap")


def _tried(command: list[str], program: str) -> str | None:
    if sys.platform != "linux":
        return f"this is {sys.platform}"
    if shutil.which(program) is None:
        return f"{program} is not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[0]


def _unshare() -> list[str]:
    """Return the command that gives another one its own mounts."""
    alone = ["unshare", "--mount", "--propagation", "private"]
    return alone if os.getuid() == 0 else [*alone, "--user", "--map-root-user"]


def _lang(folders: Folders) -> Path:
    """Return the folder that is /var/lang: what the interpreter was installed into."""
    return Path(os.path.realpath(folders.python)).parent.parent


def _site(function: Function, folders: Folders) -> str:
    """Return where the packages lie in a room: where Lambda has them, unless Python has no such folder."""
    site = f"lib/python{function.target.minor}/site-packages"
    return f"/var/lang/{site}" if (_lang(folders) / site).is_dir() else "/var/packages"


def _bubblewrap(function: Function, folders: Folders) -> Iterator[str]:
    """Yield the command of bubblewrap, without the one that runs in it."""
    yield from ("bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent")
    yield from ("--uid", str(_USER), "--gid", str(_GROUP))
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    places = [(folders.opt, "/opt"), (folders.task, "/var/task"), (folders.runtime, "/var/runtime")]
    places += [(_lang(folders), "/var/lang"), (folders.packages, _site(function, folders))]
    for path, goal in places:
        yield from ("--ro-bind", str(path), goal)
    yield from ("--dev", "/dev", "--remount-ro", "/dev", "--proc", "/proc")
    in_memory = ("--perms", "1777", "--size", str(function.limits.tmp), "--tmpfs")
    yield from (*(("--bind", str(folders.tmp)) if folders.tmp else in_memory), "/tmp")  # noqa: S108 - Lambda's
    yield from ("--remount-ro", "/", "--chdir", "/var/task")
