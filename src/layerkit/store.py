"""The store: files found by a digest, each of them absent or whole.

    <root>/CACHEDIR.TAG             says that everything here can be made again
    <root>/<kind>/ab/abcdef...whl   an entry; its name begins with the digest it is found by
    <root>/<kind>/ab/.abcdef...tmp  an entry while it is written, beside its target
    <root>/unpacked/abcdef          a folder of files from entries or zips; goes after a day without use
    <root>/locks/ab/<kind>-abcdef   empty; held with flock while somebody makes the entry

Reading takes no lock and needs no right to write: an entry appears in one step, by a rename of a
finished and synced file. A writer holds flock on its temporary file for as long as it lives, so a
file that can be locked by another has lost its writer and is swept by the next one to write.
Lock files are never unlinked: whoever waits on a file that is gone guards nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit import atomic
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# https://bford.info/cachedir/ gives the signature; backup programs leave such folders out.
_TAG = "CACHEDIR.TAG"
_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_TAG_TEXT = _SIGNATURE + b"\n# Made by layerkit. Everything in this folder can be made again.\n"
_LOCKS = "locks"
_UNPACKED = "unpacked"
_DAY = 86_400.0
_SHORTEST_DIGEST = 8
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Usage(Struct, frozen=True, kw_only=True):
    """How many entries there are (or were removed), and their size in bytes."""

    files: int = 0
    bytes: int = 0

    def plus(self, size: int) -> Usage:
        """Return the usage with one more entry of `size` bytes."""
        return Usage(files=self.files + 1, bytes=self.bytes + size)


class Store:
    """A folder of entries, safe to share by processes and, with the care said above, by hosts."""

    __slots__ = ("_base", "_ready", "root")

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is made before something is written."""
        self.root = root
        self._base = os.fspath(root)
        self._ready = False

    @classmethod
    def default(cls) -> Store:
        """Return the store that LAYERKIT_CACHE names, else the one in the user's cache folder."""
        named = os.environ.get("LAYERKIT_CACHE")
        if named:
            return cls(Path(os.path.abspath(os.path.expanduser(named))))  # noqa: PTH100, PTH111 - quick
        return cls(Path(_cache_folder()))

    def path(self, kind: str, digest: str, suffix: str = "") -> Path:
        """Return where an entry is or would be. Looks at no disk."""
        if not digest.isalnum() or len(digest) < _SHORTEST_DIGEST:
            raise StorageError(f"{digest!r} is not a digest", where=kind, fix="Renew the lock: layerkit lock")
        return Path(f"{self._base}/{kind}/{digest[:2]}/{digest}{suffix}")

    def has(self, kind: str, digest: str, suffix: str = "") -> bool:
        """Say whether an entry is there, without counting that as a use."""
        return self.path(kind, digest, suffix).exists()

    def find(self, kind: str, digest: str, suffix: str = "", *, size: int | None = None) -> Path | None:
        """Return an entry that is about to be used, or None.

        The use is noted in the file's time, once a day at most, for `prune` to go by. An entry of
        another size than `size` bytes is damaged, and as good as none: publishing replaces it.
        """
        path = self.path(kind, digest, suffix)
        try:
            found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(error) from error
        if size is not None and found.st_size != size:
            return None
        if time.time() - found.st_mtime > _DAY:
            with contextlib.suppress(OSError):  # a store that is only read stays as it is
                os.utime(path)
        return path

    def bring(self, kind: str, digests: Iterable[str], suffix: str = "") -> None:
        """Get ready for entries that are about to be looked for; a store with one level has nothing to do."""

    @contextlib.contextmanager
    def publish(self, kind: str, digest: str, suffix: str = "") -> Iterator[Path]:
        """Give an empty temporary file to fill; make it the entry when the block ends well.

        The file may be written through any handle, as long as that is closed (or flushed) when the
        block ends. When the block raises, the file is removed and nothing has happened.
        """
        final = self.path(kind, digest, suffix)
        try:
            self._begin()
            temporary, handle = atomic.create_beside(final)
        except OSError as error:
            raise self._error(error) from error
        try:
            yield temporary
            atomic.settle(temporary, final)
        except OSError as error:
            if error.errno in _FULL or error.filename == os.fspath(temporary):
                raise self._error(error) from error
            raise
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - gone already when all went well
            os.close(handle)

    @contextlib.contextmanager
    def lock(self, kind: str, digest: str) -> Iterator[None]:
        """Hold the right to make one entry; wait while another thread, process or host has it.

        Look for the entry again once the lock is held: the one waited for has probably made it.
        """
        name = self.path(kind, digest).name
        path = Path(self._base, _LOCKS, name[:2], f"{kind}-{name}")
        try:
            self._begin()
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._error(error) from error
        try:
            with contextlib.suppress(OSError):  # a file system without flock: the work is done twice
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def unpacked(self, digest: str) -> Iterator[tuple[Path, Path | None]]:
        """Give a folder, and where to make it if it is not there: an empty one that takes its place.

        What is made becomes the folder when the block ends well. Nobody may write to it later.
        """
        import tempfile

        final = self.root / _UNPACKED / digest
        with self.lock(_UNPACKED, digest):
            if final.is_dir():
                os.utime(final)
                yield final, None
                return
            final.parent.mkdir(parents=True, exist_ok=True)
            self._forget(time.time() - _DAY)
            with tempfile.TemporaryDirectory(
                dir=final.parent, prefix=".", ignore_cleanup_errors=True
            ) as name:
                made = Path(name, "made")
                made.mkdir()
                yield final, made
                made.rename(final)

    def _forget(self, since: float) -> None:
        """Remove the unpacked folders that nobody has used since then."""
        import shutil

        for folder in _folders(os.fspath(self.root / _UNPACKED)):
            with contextlib.suppress(OSError):  # another process was quicker
                if folder.stat().st_mtime <= since:
                    shutil.rmtree(folder.path, ignore_errors=True)

    def evict(self, kind: str, digest: str, suffix: str = "") -> None:
        """Remove one entry, because its bytes are not what its digest says."""
        _remove(self, os.fspath(self.path(kind, digest, suffix)))

    def sweep(self) -> int:
        """Remove temporary files whose writer is dead; return how many there were."""
        now = time.time()
        with contextlib.suppress(OSError):
            files = [*_scan(self._base), *(entry for _, entry in self._files())]
            return sum(atomic.sweep(file.path, now) for file in files if atomic.is_temporary(file.name))
        return 0

    def size(self) -> dict[str, Usage]:
        """Return what each kind of entry takes, by the name of the kind."""
        found: dict[str, Usage] = {}
        for kind, _, state in self._entries():
            found[kind] = found.get(kind, Usage()).plus(state.st_size)
        return dict(sorted(found.items()))

    def prune(self, *, max_bytes: int | None = None, max_age_days: float | None = None) -> Usage:
        """Remove entries that were not used for so long, then the least recently used above a size.

        Returns what was removed. An entry's last use is known to the day.
        """
        self.sweep()
        self._forget(time.time())
        entries = sorted((state.st_mtime, path, state.st_size) for _, path, state in self._entries())
        total = sum(size for _, _, size in entries)
        oldest = time.time() - max_age_days * _DAY if max_age_days is not None else None
        removed = Usage()
        for used, path, size in entries:
            too_old = oldest is not None and used < oldest
            too_much = max_bytes is not None and total > max_bytes
            if too_old or too_much:
                _remove(self, path)
                total -= size
                removed = removed.plus(size)
        return removed

    def clean(self) -> Usage:
        """Remove every entry, and return what that was; refuse in a folder that is no cache.

        What another process is writing at this moment stays, and so do the (empty) lock files.
        """
        if not self.root.exists():
            return Usage()
        if not self._tagged():
            raise StorageError(
                "nothing removed: the folder has no CACHEDIR.TAG with the signature of a cache",
                where=self._base,
                fix="If LAYERKIT_CACHE names the wrong folder, correct it; else remove the folder yourself",
            )
        removed = self.prune(max_bytes=-1)
        for folder in sorted(self.root.glob("*/??")) + sorted(self.root.glob("*")):
            if _LOCKS not in folder.parts[-2:]:
                with contextlib.suppress(OSError):  # not empty, or not a folder: not ours to remove
                    folder.rmdir()
        return removed

    def _entries(self) -> Iterator[tuple[str, str, os.stat_result]]:
        """Give (kind, path, stat) of each finished entry."""
        try:
            for kind, entry in self._files():
                if entry.name[0] != ".":
                    with contextlib.suppress(FileNotFoundError):  # pruned by another meanwhile
                        yield kind, entry.path, entry.stat(follow_symlinks=False)
        except OSError as error:
            raise self._error(error) from error

    def _files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Give (kind, file) of what lies where entries lie; anything else in the folder is not ours."""
        for kind in _folders(self._base):
            if kind.name != _LOCKS:
                for shelf in _folders(kind.path):
                    for entry in _scan(shelf.path):
                        belongs = entry.name.lstrip(".").startswith(shelf.name)
                        if belongs and entry.is_file(follow_symlinks=False):
                            yield kind.name, entry

    def _begin(self) -> None:
        """Make the folder ready to be written to: tagged as a cache, and swept, once per Store."""
        if self._ready:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        if not self._tagged():
            self._tag()
        self._ready = True
        self.sweep()

    def _tagged(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return (self.root / _TAG).read_bytes().startswith(_SIGNATURE)
        return False

    def _tag(self) -> None:
        """Tag a folder that is ours alone: a tag keeps a folder out of backups and allows `clean`."""
        others = [name for name in os.listdir(self._base) if name != "lost+found" and name[0] != "."]  # noqa: PTH208
        # The tag is the first thing a store gets. Where another process was quicker, it is there now.
        if others and not self._tagged():
            raise StorageError(
                f"the folder holds other things ({', '.join(sorted(others)[:3])}) and no CACHEDIR.TAG",
                where=self._base,
                fix="Set LAYERKIT_CACHE to a folder of its own: a new or an empty one",
            )
        temporary, handle = atomic.create_beside(self.root / _TAG)
        try:
            temporary.write_bytes(_TAG_TEXT)
            temporary.replace(self.root / _TAG)
        finally:
            os.close(handle)

    def _error(self, error: OSError) -> StorageError:
        """Say what the system said, and the way out."""
        elsewhere = "set LAYERKIT_CACHE to another folder"
        reason = error.strerror or type(error).__name__
        if error.errno in _FULL:
            what = f"no room is left in the store ({reason})"
            fix = f"Free space on that disk, run `layerkit cache prune`, or {elsewhere}"
        elif error.errno in _CLOSED:
            what = f"this user may not use the store ({reason})"
            fix = f"Change who may read and write there, or {elsewhere}"
        else:
            what = f"the store cannot be used ({reason})"
            fix = f"Look at that path, or {elsewhere}"
        return StorageError(what, where=str(error.filename or self._base), fix=fix)


def _cache_folder() -> str:
    """Return the user's folder for caches of layerkit, as platformdirs has it.

    On Linux it is one look at the environment (XDG Base Directory), and a warm build is spared
    the 5 ms that the import costs.
    """
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    if sys.platform == "linux" and (not base or base.startswith("/")):
        return os.fspath(Path(base or Path.home() / ".cache", "layerkit"))
    import platformdirs

    return platformdirs.user_cache_dir("layerkit")


def _scan(folder: str) -> list[os.DirEntry[str]]:
    """List a folder, in no order; nothing when it is not there or is no folder."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folders(folder: str) -> list[os.DirEntry[str]]:
    return [entry for entry in _scan(folder) if entry.is_dir(follow_symlinks=False)]


def _remove(store: Store, path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - thousands of them in a prune
    except FileNotFoundError:
        pass  # another process was quicker
    except OSError as error:
        raise store._error(error) from error  # noqa: SLF001 - the same module
