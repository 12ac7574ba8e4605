"""The store's second level: a bucket that many machines share, behind the folder of each.

    <prefix>/<kind>/ab/abcdef...whl    an object, named as the entry; its metadata has its content's sha256

What is not in the folder is looked for in the bucket and kept in the folder; what is made is sent there in
the background. An object appears whole or not at all, as S3 has it. Its content is held against the digest
on every read, and a wheel's against its name too; an object that does not hold is as good as none and is
said once. When the bucket cannot be reached, the build goes on without it: it costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct, field

from layerkit.errors import NetworkError, WheelError
from layerkit.far import Bucket, DamagedError, Far, absent, expected, words
from layerkit.output import draft
from layerkit.store import Store, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor
    from contextlib import AbstractContextManager
    from pathlib import Path

T = TypeVar("T")
ADDRESS, READ_ONLY = "LAYERKIT_STORE", "LAYERKIT_STORE_READ_ONLY"
# What does not depend on who made it: wheels, prepared wheels whole and their tails alone, notes of builds,
# what Dockerfiles left, finished layers.
KINDS = frozenset({"wheels", "prepared", "tails", "built", "opt", "layers"})
_NAMED_BY_CONTENT = "wheels"
_COUNTS = "shared.json"
_THREADS = 8
_DAY = 86_400.0


def open_store(
    said: str | None,
    say: Callable[[str], None],
    *,
    where: str = "tool.layerkit.store",
    read_only: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Store:
    """Return the store, with the second level that LAYERKIT_STORE or else the project names, if one does."""
    if named := environment.get(ADDRESS):
        said, where = named, ADDRESS
    if not said:
        return Store.default()
    read_only = read_only or reads_only(environment)
    return SharedStore(Store.default().root, Far.parse(said, where), say, read_only=read_only)


def reads_only(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether nothing may be sent from here."""
    return environment.get(READ_ONLY, "").lower() not in ("", "0", "false")


class _Doing(Struct):
    """What the threads of one store share."""

    pool: ThreadPoolExecutor | None = None
    sending: list[Future[None]] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    given_up: bool = False
    may_send: bool = True
    unsent: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class SharedStore(Store):
    """A folder of entries with a bucket behind it."""

    __slots__ = ("_bucket", "_doing", "_say", "far")

    def __init__(self, root: Path, far: Far, say: Callable[[str], None], *, read_only: bool = False) -> None:
        """Name both levels; nothing is asked for before something is wanted."""
        super().__init__(root)
        self.far = far
        self._say = say
        self._bucket = Bucket(far.bucket, connections=2 * _THREADS)
        self._doing = _Doing(may_send=not read_only)
        _open.append(self)

    @property
    def sends(self) -> bool:
        """Say whether what is made is sent."""
        return self._doing.may_send and not self._doing.given_up

    def find(self, kind: str, digest: str, suffix: str = "", *, size: int | None = None) -> Path | None:
        """Return an entry, from the bucket where the folder has none."""
        found = super().find(kind, digest, suffix, size=size)
        if found is None and kind in KINDS and self._fetch(kind, digest, suffix):
            found = super().find(kind, digest, suffix, size=size)
        return found

    def bring(self, kind: str, digests: Iterable[str], suffix: str = "") -> None:
        """Fetch entries side by side that are about to be looked for."""
        wanted = [one for one in digests if not self.has(kind, one, suffix)]
        if kind in KINDS and not self._doing.given_up and wanted:
            list(self._threads().map(lambda one: self._fetch(kind, one, suffix), wanted))

    def take(
        self, kind: str, wanted: Sequence[tuple[str, Path]], suffix: str, read: Callable[[Path], T]
    ) -> list[tuple[str, T] | None]:
        """Put objects where they belong outside the folder, side by side, by digest and path.

        Returns of each its sha256 and what `read` makes of its file before it appears, None for those that
        could not be had. One that it raises WheelError for is damaged.
        """

        def one(each: tuple[str, Path]) -> tuple[str, T] | None:
            return self._got(self._key(kind, each[0], suffix), draft(each[1]), read)

        if self._doing.given_up or not wanted:
            return [None for _ in wanted]
        return list(self._threads().map(one, wanted))

    def offer(self, kind: str, digest: str, suffix: str, path: Path, sha256: str | None = None) -> None:
        """Send a finished file in the background, as long as it is the one with that sha256."""
        if self.sends:
            key = self._key(kind, digest, suffix)
            self._doing.offered.add(key)
            self._doing.sending.append(self._threads().submit(self._send, key, path, sha256))

    @contextlib.contextmanager
    def publish(self, kind: str, digest: str, suffix: str = "") -> Iterator[Path]:
        """Make an entry as ever, and send it to the bucket in the background."""
        with super().publish(kind, digest, suffix) as temporary:
            yield temporary
        if kind in KINDS:
            self.offer(kind, digest, suffix, self.path(kind, digest, suffix))

    def share(self, kind: str, digest: str, suffix: str = "") -> None:
        """Send an entry of the folder in the background, unless it is on its way or the bucket has it."""
        if self._key(kind, digest, suffix) not in self._doing.offered:
            self.offer(kind, digest, suffix, self.path(kind, digest, suffix))

    def again(self, say: Callable[[str], None]) -> SharedStore:
        """Return the same folder and bucket, with nothing remembered of what the bucket lacks.

        Whoever asked for it has to settle it.
        """
        other = SharedStore(self.root, self.far, say, read_only=not self.sends)
        other._bucket = self._bucket  # its connections are what is shared
        _open.remove(other)
        return other

    def look_again(self) -> None:
        """Forget what the bucket lacked: other machines have sent something since."""
        self._doing.absent.clear()

    def deliver(self) -> None:
        """Wait until all that was to be sent is in the bucket. Raises NetworkError where it is not."""
        for one in list(self._doing.sending):
            one.result()
        if not self.sends:
            raise NetworkError(
                f"what was made cannot be sent: {self._doing.unsent or f'{READ_ONLY} is set'}",
                where=str(self.far),
                fix="look at the credentials and the network of that machine",
            )

    def evict(self, kind: str, digest: str, suffix: str = "") -> None:
        """Remove an entry whose bytes are wrong, and do not fetch it again: its copy may be as wrong."""
        self._doing.absent.add(self._key(kind, digest, suffix))
        super().evict(kind, digest, suffix)

    def settle(self, *, abandon: bool = False) -> None:
        """Wait for what is being sent, or leave what was not begun; then write down what was counted."""
        if self._doing.pool is not None:
            self._doing.pool.shutdown(cancel_futures=abandon)
            self._doing.pool = None
        if self._doing.counts:
            self._count()

    def counted(self) -> dict[str, int]:
        """Return hits, misses, and bytes received and sent, of all runs on this machine."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, int] = json.loads((self.root / _COUNTS).read_text())
            return found
        return {}

    def far_size(self) -> dict[str, Usage]:
        """Return what each kind of object takes in the bucket. Raises NetworkError."""
        found: dict[str, Usage] = {}
        for item in self._objects():
            kind = item["Key"].removeprefix(self.far.prefix).partition("/")[0]
            found[kind] = found.get(kind, Usage()).plus(item["Size"])
        return dict(sorted(found.items()))

    def far_prune(
        self, *, now: float, max_bytes: int | None = None, max_age_days: float | None = None
    ) -> Usage:
        """Remove objects that were sent so long ago, then the oldest above a size. Raises NetworkError."""
        items = sorted(self._objects(), key=lambda item: (item["LastModified"], item["Key"]))
        total, removed = sum(item["Size"] for item in items), Usage()
        for item in items:
            age = (now - item["LastModified"].timestamp()) / _DAY
            if (max_age_days is None or age <= max_age_days) and (max_bytes is None or total <= max_bytes):
                continue
            with self._told():
                self._bucket.remove(item["Key"])
            total, removed = total - item["Size"], removed.plus(item["Size"])
        return removed

    def _objects(self) -> list[dict[str, Any]]:
        with self._told():
            return list(self._bucket.objects(self.far.prefix))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what AWS says as an error of ours."""
        try:
            yield
        except Exception as error:
            if not expected(error):
                raise
            raise NetworkError(
                f"the shared store does not answer: {words(error)}",
                where=str(self.far),
                fix="look at the address, the credentials and the network",
            ) from error

    def _fetch(self, kind: str, digest: str, suffix: str) -> bool:
        """Bring an object into the folder; say whether that could be done."""
        wanted = digest if kind == _NAMED_BY_CONTENT else None
        made = super().publish(kind, digest, suffix)
        return self._got(self._key(kind, digest, suffix), made, lambda _: None, wanted) is not None

    def _got(
        self,
        key: str,
        into: AbstractContextManager[Path],
        read: Callable[[Path], T],
        wanted: str | None = None,
    ) -> tuple[str, T] | None:
        """Write an object into a draft, which becomes a file; return its sha256 and what was read of it.

        None where there is no such object, or none whose content is what its digests say.
        """
        if self._doing.given_up or key in self._doing.absent:
            return None
        try:
            with into as path:
                count, sha256 = self._bucket.read(key, path, wanted)
                found = _sound(path, read)
        except DamagedError:
            self._say(f"shared store: {key} in {self.far.bucket} is damaged; it is made anew")
        except Exception as error:
            if not expected(error):
                raise
            if not absent(error):
                self._give_up(error)
        else:
            self._add(hits=1, received=count)
            return sha256, found
        self._doing.absent.add(key)
        self._add(misses=1)
        return None

    def _send(self, key: str, path: Path, sha256: str | None) -> None:
        """Send a file, unless the bucket has it."""
        if self._doing.given_up:
            return
        try:
            if key in self._doing.absent or not self._bucket.has(key):
                self._add(sent=self._bucket.send(path, key, sha256))
        except FileNotFoundError:
            pass  # pruned meanwhile
        except Exception as error:
            if not expected(error):
                raise
            self._stop_sending(error)

    def _key(self, kind: str, digest: str, suffix: str) -> str:
        name = self.path(kind, digest, suffix).name
        return f"{self.far.prefix}{kind}/{name[:2]}/{name}"

    def _threads(self) -> ThreadPoolExecutor:
        with self._doing.lock:
            if self._doing.pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._doing.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="layerkit-shared")
            return self._doing.pool

    def _give_up(self, error: Exception) -> None:
        """Go on without the bucket, and say so once."""
        with self._doing.lock:
            first, self._doing.given_up = not self._doing.given_up, True
            self._doing.unsent = words(error)
        if first:
            self._say(f"shared store: {self.far} cannot be used: {words(error)}; going on without it")

    def _stop_sending(self, error: Exception) -> None:
        """Send nothing more, and say so once: who may not write can still read."""
        with self._doing.lock:
            first, self._doing.may_send = self._doing.may_send, False
            self._doing.unsent = words(error)
        if first:
            self._say(f"shared store: nothing more is sent to {self.far}: {words(error)}")

    def _add(self, **counts: int) -> None:
        with self._doing.lock:
            self._doing.counts.update(counts)

    def _count(self) -> None:
        """Add what this run counted to what the folder's file has."""
        with contextlib.suppress(OSError), self.lock("counts", "shared00"):
            path = self.root / _COUNTS
            total = Counter(self.counted()) + self._doing.counts
            beside = path.with_name(f".{_COUNTS}.{os.getpid()}")
            beside.write_text(json.dumps(dict(sorted(total.items()))))
            beside.replace(path)
        self._doing.counts.clear()


def _sound(path: Path, read: Callable[[Path], T]) -> T:
    """Return what is read of an object; what cannot be read is as damaged as what has another digest."""
    try:
        return read(path)
    except WheelError as error:
        raise DamagedError from error


_open: list[SharedStore] = []


def settle(*, abandon: bool = False) -> None:
    """Let all stores end what they do in the background."""
    while _open:
        _open.pop().settle(abandon=abandon)
