"""Which interpreter compiles for a target: looked for once, and remembered in the store.

uv knows where interpreters are: those it manages, and those on the PATH. Beside these, pyenv keeps
every version in a folder of its own, of which the PATH has only wrappers that refuse to run unless the
user has chosen that very version; so the folders themselves are shown to uv.

What was found is remembered by the version of Python, with what `stat` said of the file. That it was
found in an image alone, or not at all, is remembered with what `stat` said of the folders that were
searched, and with the image. A build that finds its interpreter remembered starts no process and asks no
engine.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.bytecode import Interpreter
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerkit.bytecode.compiler import Compiler, Compiles
    from layerkit.bytecode.in_image import Images
    from layerkit.store import Store

KIND = "compilers"
SUFFIX = ".json"
_OLDEST = (3, 7)  # the first with bytecode that is valid without dates (PEP 552)
_UNSTABLE = ("alpha", "beta")  # of these every one has bytecode of its own


class Found(Struct, frozen=True, kw_only=True):
    """An interpreter: on this machine, or without a path in the image of the runtime."""

    interpreter: Interpreter
    path: str | None


def find(minor: str, store: Store, *, images: Images | None = None, offline: bool = False) -> Found | None:
    """Return an interpreter of the version `minor`, such as 3.12, None where there is none to be had.

    It is one on this machine, else, with `images`, the one in the runtime's image. Else uv may install
    one where its settings let it (`python-downloads`, UV_PYTHON_DOWNLOADS) and `offline` does not
    forbid it. Raises StorageError where the store cannot be used.
    """
    if tuple(map(int, minor.split("."))) < _OLDEST:
        return None
    known, found = recall(minor, store, images=images, offline=offline)
    if known:
        return found
    found = _asked(minor) or (_held(images, minor) if images else None)
    found = found or (None if offline else _installed(minor))
    _remember(minor, store, found, "" if found and found.path else _searched(images, offline=offline))
    return found


def recall(
    minor: str, store: Store, *, images: Images | None = None, offline: bool = False
) -> tuple[bool, Found | None]:
    """Return whether it is known what there is, and the interpreter that is known."""
    path = store.find(KIND, _digest(minor), SUFFIX)
    try:
        said = json.loads(path.read_bytes()) if path else {}
        held = said.get("path") is None
        if held and said.get("searched") != _searched(images, offline=offline):
            return False, None
        if held and said.get("version") is None:
            return True, None
        found = Found(interpreter=Interpreter(version=said["version"], tag=said["tag"]), path=said["path"])
        return found.path is None or said["stamp"] == _stamp(found.path), found
    except (OSError, ValueError, KeyError, AttributeError):
        return False, None


def _remember(minor: str, store: Store, found: Found | None, searched: str) -> None:
    said: dict[str, object] = {"path": found and found.path}
    if found:
        said |= {"version": found.interpreter.version, "tag": found.interpreter.tag}
    said |= {"stamp": _stamp(found.path)} if found and found.path else {"searched": searched}
    with store.publish(KIND, _digest(minor), SUFFIX) as path:
        path.write_text(json.dumps(said))


def _digest(minor: str) -> str:
    return hashlib.sha256(minor.encode()).hexdigest()


def compiling(found: Found, images: Images) -> Callable[[], Compiles]:
    """Return how a compiler of the interpreter that was found is started."""
    return partial(_start, found.path) if found.path else partial(images.start, found.interpreter)


def _asked(minor: str) -> Found | None:
    """Return the interpreter that uv finds and that answers."""
    said = _uv("python", "find", "--no-project", "--system", "--no-python-downloads", minor)
    return _proven(said.strip(), minor) if said else None


def _installed(minor: str) -> Found | None:
    """Let uv install an interpreter, if it may: for a virtual environment it does so only where it may."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="layerkit-") as folder:
        if _uv("venv", "--no-project", "--managed-python", "--python", minor, folder) is None:
            return None
    return _asked(minor)


def _proven(path: str, minor: str) -> Found | None:
    """Return the interpreter at a path if it says that it is one of that version, and finished."""
    from layerkit.bytecode.compiler import Compiler

    try:
        with Compiler([path]) as compiler:
            who = compiler.interpreter
    except StorageError:
        return None
    return Found(interpreter=who, path=path) if _fits(who, minor) else None


def _held(images: Images, minor: str) -> Found | None:
    """Return the interpreter in the runtime's image if it is one of that version, and finished."""
    who = images.find()
    return Found(interpreter=who, path=None) if who and _fits(who, minor) else None


def _fits(who: Interpreter, minor: str) -> bool:
    return who.version.startswith(f"{minor}.") and not who.version.endswith(_UNSTABLE)


def _uv(*arguments: str) -> str | None:
    """Return what uv prints, None when it fails."""
    import subprocess

    from layerkit.lock.places import uv_binary

    path = os.pathsep.join(_folders())
    done = subprocess.run(  # noqa: S603 - uv, which came with layerkit
        [uv_binary(), *arguments, "--color", "never"],
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None


def _folders() -> Iterator[str]:
    """Yield the folders that may hold interpreters: the PATH without pyenv's wrappers, then pyenv's own."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")  # noqa: PTH111 - a string is wanted
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if folder and not (folder.startswith(f"{pyenv}/") and folder.endswith("shims")):
            yield folder
    with suppress(OSError):
        yield from sorted(f"{pyenv}/versions/{name}/bin" for name in os.listdir(f"{pyenv}/versions"))  # noqa: PTH208


def _searched(images: Images | None, *, offline: bool) -> str:
    """Return the digest of where interpreters are looked for, as far as a look at folders can tell."""
    settings = sorted((key, value) for key, value in os.environ.items() if key.startswith("UV_PYTHON"))
    managed = os.environ.get("UV_PYTHON_INSTALL_DIR") or "~/.local/share/uv/python"
    stamps = [(folder, _stamp(folder)) for folder in (*_folders(), os.path.expanduser(managed))]  # noqa: PTH111
    return hashlib.sha256(
        json.dumps([settings, stamps, images.way if images else "", offline]).encode()
    ).hexdigest()


def _stamp(path: str) -> list[int]:
    """Return what tells a file or folder from another version of itself; nothing where there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _start(path: str) -> Compiler:
    from layerkit.bytecode.compiler import Compiler

    return Compiler([path])
