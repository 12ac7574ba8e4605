"""A file appears whole or not at all, and what a dead writer left behind can be told apart.

A temporary file lies beside its target, so that the rename stays on one file system. Its name says
who writes it, `.<target>.<host>.<process>.<random>.tmp`, and its writer holds flock on it for as long
as it lives: a lock that can be had means that the writer is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from functools import cache
from pathlib import Path

TEMPORARY = ".tmp"
# A file of another host, whose locks may not reach this one, is left alone for so many seconds.
_PATIENCE = 86_400.0


def is_temporary(name: str) -> bool:
    """Say whether a file name is one that `create_beside` makes."""
    return name.startswith(".") and name.endswith(TEMPORARY)


def create_beside(final: Path) -> tuple[Path, int]:
    """Create and lock a temporary file beside its target: its path, and the handle with the lock.

    Between creating and locking, a sweep may take the file for an abandoned one; then it has no
    name any more, and a new one is made. The folder may be cleaned away just as well.
    """
    while True:
        name = f".{final.name}.{_host()}.{os.getpid()}.{os.urandom(4).hex()}{TEMPORARY}"
        temporary = final.with_name(name)
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            final.parent.mkdir(parents=True, exist_ok=True)
            continue
        with contextlib.suppress(OSError):  # a file system without flock: the age decides in a sweep
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)


def settle(temporary: Path, final: Path) -> None:
    """Make the bytes last, then give them their name, then make the name last."""
    _sync(temporary)
    temporary.replace(final)
    _sync(final.parent)


def sweep(path: str, now: float) -> bool:
    """Remove a temporary file if its writer is dead; say whether it was removed.

    `now` is the time in seconds since the epoch.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # renamed or removed this moment, or not ours to write
    try:
        if not _abandoned(handle, path, now):
            return False
        os.unlink(path)  # noqa: PTH108 - with the lock held, see create_beside
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _abandoned(handle: int, path: str, now: float) -> bool:
    """Say whether a temporary file has lost its writer, and err on the side of keeping it.

    On this host: nobody holds its lock, and the process in its name is gone (or is this one).
    Elsewhere, or where there are no locks: it was not touched for a day.
    """
    untouched = now - os.fstat(handle).st_mtime > _PATIENCE
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return untouched
    writer = path.rsplit(".", 4)[1:3]
    return untouched or (writer[:1] == [_host()] and not _alive(writer[1]))


def _alive(process: str) -> bool:
    """Say whether a process of this host may still be running."""
    if not process.isdigit():
        return True
    if int(process) == os.getpid():
        return False  # it would hold the lock, as every writer of this process does
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's process
    return True


@cache
def _host() -> str:
    """Name this boot of this machine: within it, flock tells for certain whether a writer lives."""
    import hashlib

    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return hashlib.sha256(f"{os.uname().nodename} {boot}".encode()).hexdigest()[:12]
