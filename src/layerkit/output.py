"""Files that a user finds: they appear whole or not at all.

What is written lies beside its target under a name of ours (see atomic.py) until a rename puts it in
place, so a reader sees the file before or the file after, and never a part. A writer that is
killed leaves its draft behind, and the next run into that folder takes it away.

Unlike the store, nothing here is synced to disk: what is written is remade in a tenth of a second.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from layerkit import atomic
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The whole name that atomic.create_beside gives: in a folder that is not ours alone, nothing less will do.
_DRAFT = re.compile(r"\..+\.[0-9a-f]{12}\.[0-9]+\.[0-9a-f]{8}\.tmp")
_PERMISSION = "write to a folder that you own, or change its permissions"
_IN_THE_WAY = "one of the folders of that path is a file; move it away or write elsewhere"
_FIXES = {
    errno.ENOSPC: "free some space on that disk, or write to another one",
    errno.EDQUOT: "free some of your quota on that disk, or write to another one",
    errno.EFBIG: "a file may not become so large here: see ulimit -f",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "that file system is read-only; write to another one",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "a folder stands where the file belongs; move it away or write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name for the project, the layer or the folder",
}


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Give the name of an empty file that becomes `path` when the block ends without an error.

    Its permissions follow the umask, and nothing of an earlier file is kept. Folders on the way are
    made. Every handle that wrote to it must be closed or flushed by then. An OSError inside the block
    or around it becomes a StorageError; after any error the draft is gone and `path` as it was.
    """
    name = None
    try:
        name, handle = atomic.create_beside(path)
        try:
            yield name
            name.replace(path)
        except BaseException:
            with suppress(OSError):
                name.unlink()
            raise
        finally:
            os.close(handle)
    except OSError as error:
        raise _failed("written", path, error) from error
    except StorageError as error:
        # Whoever wrote the draft names it, and a user knows the file by its own name.
        if isinstance(error.__cause__, OSError) and error.where == str(name):
            raise _failed("written", path, error.__cause__) from error
        raise


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold `path` locked while the block runs; wait while another process or thread holds it.

    The file stays, empty: unlinking it would give the lock to two. Raises StorageError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _failed("written", path, error) from error
    try:
        with suppress(OSError):  # a file system without flock: two builds may then do the work twice
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all, and sweep the folder that it lies in."""
    sweep(path.parent)
    with draft(path) as name:
        name.write_bytes(content)


def remove(path: Path) -> None:
    """Take the file at `path` away, if there is one. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _failed("removed", path, error) from error


def sweep(folder: Path) -> int:
    """Take away the drafts in `folder` whose writers are gone, and return how many there were.

    Files with other names and drafts of living writers are left alone, and so is what cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            drafts = [entry.path for entry in entries if _DRAFT.fullmatch(entry.name)]
    except OSError:
        return 0
    return sum(atomic.sweep(path, time.time()) for path in drafts)


def _failed(what: str, path: Path, error: OSError) -> StorageError:
    """Return what a user is told when `path` cannot be written or removed."""
    reason = error.strerror or str(error)
    fix = _FIXES.get(error.errno) if error.errno is not None else None
    return StorageError(f"the file cannot be {what}: {reason}", where=str(path), fix=fix)
