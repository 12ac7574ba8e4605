"""A function's layers and code laid down in folders, as Lambda lays them down in /opt and /var/task."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.archive import Archive
from layerkit.container.inside import unpack
from layerkit.errors import LimitExceededError, StorageError, UsageError
from layerkit.layer.function_code import collect
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerkit.project.specs import FunctionSpec

_BLOCK = 1 << 20


def lay_layers(layers: Sequence[Path], opt: Path) -> None:
    """Unpack layers one over the other, the lowest first.

    Raises WheelError for a zip that the strict reader refuses, LimitExceededError for more than five.
    """
    most = limit("layers_per_function")
    if len(layers) > most:
        raise LimitExceededError(f"a function has {most} layers at most, and these are {len(layers)}")
    for path in layers:
        _unzip(path, opt)
    _as_others_see(opt)


def lay_code(code: FunctionSpec, task: Path, apart: Sequence[Path] = ()) -> None:
    """Put a function's code, a zip, a file or a folder, into a folder; what lies `apart` is none of it."""
    if code.code is not None and code.code.suffix == ".zip" and code.code.is_file():
        lay_zip(code.code, task)
        return
    found = collect(code, apart)
    for file in found.files if found else ():
        goal = task / file.name
        goal.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file.path, goal)
        except OSError as error:
            raise StorageError(f"cannot be copied: {error.strerror}", where=str(file.path)) from error
        goal.chmod(0o755 if file.executable else 0o644)


def lay_zip(path: Path, task: Path) -> None:
    """Unpack the zip of a function's code."""
    _unzip(path, task)
    _as_others_see(task)


def key(layers: Sequence[Path]) -> str:
    """Return the digest of what layers unpack to."""
    digest = hashlib.sha256()
    for path in layers:
        one = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    one.update(block)
        except OSError as error:
            raise UsageError(f"the zip cannot be read: {error.strerror}", where=str(path)) from error
        digest.update(one.digest())
    return digest.hexdigest()


def check_size(opt: Path, task: Path) -> None:
    """Raise LimitExceededError where layers and code are more than Lambda takes."""
    size, most = _size(opt) + _size(task), limit("unzipped_bytes")
    if size >= most:
        what = f"layers and code unpack to {size:,} bytes, and Lambda takes fewer than {most:,}"
        raise LimitExceededError(what, fix="`layerkit plan` shows what is largest")


def _unzip(path: Path, folder: Path) -> None:
    """Unpack one zip over what is there, once the strict reader has found nothing wrong with it."""
    with Archive.open(path):
        pass
    try:
        unpack.unpack(os.fspath(path), os.fspath(folder))
    except OSError as error:
        raise StorageError(f"cannot be unpacked: {error.strerror}", where=str(path)) from error


def _as_others_see(folder: Path) -> None:
    """Let the owner do with each file what everybody may: a function owns none."""
    for name, _, names in os.walk(folder):
        Path(name).chmod(0o755)
        for each in names:
            path = Path(name, each)
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode != (mode & 0o7) * 0o111:
                path.chmod((mode & 0o7) * 0o111)


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(Path(name, each).lstat().st_size for name, _, names in os.walk(folder) for each in names)
