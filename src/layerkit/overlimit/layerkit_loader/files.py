"""Small dealings with files."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 4096  # what a file takes on disk is rounded up to it


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock file while the block runs; the kernel takes it from a process that dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def merge(source: str, into: str) -> None:
    """Move what is in `source` into a folder, by one rename for each part that is new there."""
    for name in names(source):
        old, new = os.path.join(source, name), os.path.join(into, name)
        if not os.path.lexists(new):
            os.rename(old, new)
        elif os.path.isdir(old) and not os.path.islink(old):
            merge(old, new)
        elif not os.path.islink(old):
            os.replace(old, new)
    remove(source)


def names(folder: str) -> list[str]:
    """List a folder; nothing if there is none."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def pwrite(path: str, view: memoryview, offset: int, mode: int) -> None:
    """Write all of `view` into a file, from `offset` on; other stretches may be written meanwhile."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
    try:
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
    finally:
        os.close(handle)


def remove(path: str) -> None:
    """Take a folder away, if there is one."""
    if os.path.lexists(path):
        import shutil

        shutil.rmtree(path, ignore_errors=True)


def remove_unused(path: str) -> None:
    """Remove the tree of another version, unless a living process uses it (it holds a lock on `used`)."""
    with suppress(OSError):
        handle = os.open(os.path.join(path, "used"), os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
        finally:
            os.close(handle)


def on_disk(size: int) -> int:
    """Return what a file of so many bytes takes on disk."""
    return -(-size // _BLOCK) * _BLOCK


def free(folder: str) -> int:
    """Return the bytes that are free where a folder lies."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def digest(text: str) -> str:
    """Return 16 hex digits that stand for a text."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def say(text: str) -> None:
    """Put a line into the function's log."""
    sys.stderr.write(f"layerkit: {text}\n")
    sys.stderr.flush()
