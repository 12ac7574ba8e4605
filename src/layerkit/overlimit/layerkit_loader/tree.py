"""The folder under /tmp that packages are unpacked into, whole or not at all.

    <tmp>/layerkit-<key>/site    what is put on sys.path
    <tmp>/layerkit-<key>/done    a mark for each package that is unpacked, written last
    <tmp>/layerkit-<key>/part    what is being unpacked, by the holder of `lock`
    <tmp>/layerkit-<key>/used    locked, shared, by every process that uses the folder

The key is made of the indexes' names, which hold digests of their content, so other content is
another folder. A process that is killed leaves a `part`, which the next holder of the lock removes.

Folders that hold unpacked files, or libraries that may look for them, are mirrored: real folders, with
links to everything in /opt that is not unpacked, so that `$ORIGIN` and package data lead on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
import time
from contextlib import contextmanager

from .errors import BundleError
from .files import digest, free, locked, merge, names, remove, remove_unused, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Union

    from .frames import Frames
    from .zipped import Zipped

    Unit = Union[Frames, Zipped]

_MIB = 1 << 20
_LEAST = 512  # MB of ephemeral storage that every function has
_STEP = 64  # MB that advice is rounded up to


class Tree:
    """One such folder."""

    def __init__(self, opt: str, units: Sequence[Unit], tmp: str) -> None:
        """Name the folder for packages whose other files lie in `opt`; nothing is made yet."""
        # Links lead to `opt`, and nobody may use what another user laid there.
        key = digest("\n".join([opt, str(os.getuid()), *sorted(unit.mark for unit in units)]))
        self.units = units
        self.path = os.path.join(tmp, f"layerkit-{key}")
        self.site = os.path.join(self.path, "site")
        self._opt = opt
        self._tmp = tmp
        self._done = os.path.join(self.path, "done")
        self._mutex = threading.RLock()
        self._used = -1

    def missing(self, units: Iterable[Unit]) -> list[Unit]:
        """Return those of the packages that are not unpacked, as far as this process knows."""
        known = self._used >= 0
        return [unit for unit in units if not (known and os.path.exists(os.path.join(self._done, unit.mark)))]

    def unpack(self, units: Sequence[Unit]) -> None:
        """Have these packages unpacked, by this process or another; raises BundleError."""
        with self._mutex, self._told():
            self._open()
            if self.missing(units):
                with locked(os.path.join(self.path, "lock")):
                    missing = self.missing(units)
                    if missing:
                        self._unpack(missing)
                for path in list(sys.path_importer_cache):  # they know what was there before
                    if path.startswith(self.site):
                        sys.path_importer_cache.pop(path, None)

    def open(self) -> None:
        """Make the folder where there is none, and put it first on sys.path; raises BundleError."""
        with self._mutex, self._told():
            self._open()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BundleError(f"the bundle cannot be unpacked into {self.path}: {error}") from error

    def _open(self) -> None:
        if self._used >= 0:
            return
        os.makedirs(self._done, mode=0o700, exist_ok=True)
        os.makedirs(self.site, exist_ok=True)
        if os.stat(self.path).st_uid != os.getuid():
            raise BundleError(f"{self.path} belongs to another user; set LAYERKIT_TMP to a folder of yours")
        self._used = os.open(os.path.join(self.path, "used"), os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(self._used, True)  # noqa: FBT003 - the runtime that the wrapper becomes uses it
        fcntl.flock(self._used, fcntl.LOCK_SH)
        if self.site not in sys.path:
            sys.path.insert(0, self.site)

    def _unpack(self, units: Sequence[Unit]) -> None:
        """Unpack packages beside the tree and move them in; the caller holds the lock."""
        part, began = os.path.join(self.path, "part"), time.time()
        try:
            remove(part)
            self._make_room(units)
            os.mkdir(part)
            self._mirror(units, part)
            threads = _run([job for unit in units for job in unit.jobs(part)])
            merge(part, self.site)
            for unit in units:
                os.close(os.open(os.path.join(self._done, unit.mark), os.O_WRONLY | os.O_CREAT, 0o600))
        except BaseException as error:
            remove(part)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._too_small(units) from error
            raise
        if os.environ.get("LAYERKIT_TRACE"):
            what = ", ".join(unit.package for unit in units)
            room = sum(unit.room for unit in units)
            say(f"{room} bytes of {what} unpacked in {time.time() - began:.3f} s by {threads} threads")

    def _mirror(self, units: Sequence[Unit], part: str) -> None:
        """Make the folders of these packages, with links to all in /opt that is not unpacked."""
        mine = {folder for unit in units for folder in unit.folders}
        every = {folder for unit in self.units for folder in unit.folders}
        for folder in sorted(every - mine):
            # Another package's folder inside one of ours must not be a link by the time that one comes.
            if os.path.dirname(folder) in mine:
                mine.add(folder)
        apart = every.union(path for unit in self.units for path, _, _ in unit.files)
        for folder in sorted(mine):
            os.mkdir(os.path.join(part, folder))
            # A link even where it leads nowhere: what Python compiles is as little written here as in /opt.
            for name in {*names(os.path.join(self._opt, folder)), "__pycache__"}:
                path = f"{folder}/{name}"
                if path not in apart:
                    os.symlink(os.path.join(self._opt, path), os.path.join(part, path))

    def _make_room(self, units: Sequence[Unit]) -> None:
        """See that there is room; where it is short, trees of other content go that nobody uses."""
        need = sum(unit.room for unit in units)
        if free(self._tmp) >= need:
            return
        for name in names(self._tmp):
            path = os.path.join(self._tmp, name)
            if name.startswith("layerkit-") and path != self.path:
                remove_unused(path)
        if free(self._tmp) < need:
            raise self._too_small(units)

    def _too_small(self, units: Sequence[Unit]) -> BundleError:
        need, left = sum(unit.room for unit in units), free(self._tmp)
        state = os.statvfs(self._tmp)
        whole = (state.f_blocks * state.f_frsize + need - left) // _MIB + 1
        advice = max(_LEAST, -(-whole // _STEP) * _STEP)
        what = ", ".join(sorted(unit.package for unit in units))
        return BundleError(
            f"{self._tmp} has {left} bytes free, and {need} are needed for {what}:"
            f" give the function {advice} MB of ephemeral storage"
        )


def _run(jobs: Sequence[Callable[[], None]]) -> int:
    """Do the jobs in as many threads as there are processors; return how many. Raises the first error."""
    waiting = iter(jobs)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for job in waiting:
                if errors:
                    return
                job()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            errors.append(error)

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = [threading.Thread(target=work) for _ in range(min(len(jobs), processors) - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return len(threads) + 1
