"""The store's second level: a bucket that many machines share, behind the folder of each.

    <prefix>/<kind>/ab/abcdef...whl    an object, named as the entry; its metadata has its content's sha256

What is not in the folder is looked for in the bucket and kept in the folder; what is made is sent there in
the background. An object appears whole or not at all, as S3 has it. Its content is held against the digest
on every read, and a wheel's against its name too; an object that does not hold is as good as none and is
said once. When the bucket cannot be reached, the build goes on without it: it costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError, NetworkError
from layerkit.store import Store, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

ADDRESS, READ_ONLY = "LAYERKIT_STORE", "LAYERKIT_STORE_READ_ONLY"
# What does not depend on who made it: wheels, prepared wheels, notes of builds, what Dockerfiles left.
KINDS = frozenset({"wheels", "prepared", "built", "opt"})
_NAMED_BY_CONTENT = "wheels"
_COUNTS = "shared.json"
_CHUNK = 1 << 20
_THREADS = 8
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """A bucket and what the keys of the store begin with."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str, where: str) -> Far:
        """Return what `s3://bucket/prefix` says. Raises ConfigError."""
        found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/*", text)
        if found is None:
            raise ConfigError(
                f"{text!r} is no address of a shared store", where=where, fix="write s3://BUCKET/PREFIX"
            )
        return cls(bucket=found[1], prefix=f"{found[2]}/" if found[2] else "")

    def __str__(self) -> str:
        """Return the address."""
        return f"s3://{self.bucket}/{self.prefix}"


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
    read_only = read_only or environment.get(READ_ONLY, "") not in ("", "0")
    return SharedStore(Store.default().root, Far.parse(said, where), say, read_only=read_only)


@dataclass(slots=True)
class _Doing:
    """What the threads of one store share."""

    client: Any = None
    pool: ThreadPoolExecutor | None = None
    sending: list[Future[None]] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    given_up: bool = False
    may_send: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class SharedStore(Store):
    """A folder of entries with a bucket behind it."""

    __slots__ = ("_doing", "_say", "far")

    def __init__(self, root: Path, far: Far, say: Callable[[str], None], *, read_only: bool = False) -> None:
        """Name both levels; nothing is asked for before something is wanted."""
        super().__init__(root)
        self.far = far
        self._say = say
        self._doing = _Doing(may_send=not read_only)
        _open.append(self)

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

    @contextlib.contextmanager
    def publish(self, kind: str, digest: str, suffix: str = "") -> Iterator[Path]:
        """Make an entry as ever, and send it to the bucket in the background."""
        with super().publish(kind, digest, suffix) as temporary:
            yield temporary
        if kind in KINDS and self._doing.may_send and not self._doing.given_up:
            path = self.path(kind, digest, suffix)
            self._doing.sending.append(self._threads().submit(self._send, kind, path))

    def evict(self, kind: str, digest: str, suffix: str = "") -> None:
        """Remove an entry whose bytes are wrong, and do not fetch it again: its copy may be as wrong."""
        self._doing.absent.add(self._key(kind, self.path(kind, digest, suffix)))
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
                self._client().delete_object(Bucket=self.far.bucket, Key=item["Key"])
            total, removed = total - item["Size"], removed.plus(item["Size"])
        return removed

    def _objects(self) -> list[dict[str, Any]]:
        with self._told():
            pages = self._client().get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self.far.bucket, Prefix=self.far.prefix)
            return [item for page in found for item in page.get("Contents", ())]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what AWS says as an error of ours."""
        try:
            yield
        except Exception as error:
            if not _expected(error):
                raise
            raise NetworkError(
                f"the shared store does not answer: {_words(error)}",
                where=str(self.far),
                fix="look at the address, the credentials and the network",
            ) from error

    def _fetch(self, kind: str, digest: str, suffix: str) -> bool:
        """Bring an object into the folder; say whether that could be done."""
        key = self._key(kind, self.path(kind, digest, suffix))
        if self._doing.given_up or key in self._doing.absent:
            return False
        try:
            answer = self._client().get_object(Bucket=self.far.bucket, Key=key)
            if self._receive(answer, kind, digest, suffix):
                return True
            self._say(f"shared store: {key} in {self.far.bucket} is damaged; it is made anew")
        except Exception as error:
            if not _expected(error):
                raise
            if _code(error) not in _ABSENT:
                self._give_up(error)
        self._doing.absent.add(key)
        self._add(misses=1)
        return False

    def _receive(self, answer: Mapping[str, Any], kind: str, digest: str, suffix: str) -> bool:
        """Write an object into the folder, unless its content is not what its digests say."""
        try:
            with super().publish(kind, digest, suffix) as temporary:
                found, count = _written(answer["Body"].iter_chunks(_CHUNK), temporary)
                _hold(found, answer["Metadata"].get("sha256"), digest if kind == _NAMED_BY_CONTENT else found)
        except _DamagedError:
            return False
        self._add(hits=1, received=count)
        return True

    def _send(self, kind: str, path: Path) -> None:
        """Send an entry, unless the bucket has it."""
        key = self._key(kind, path)
        if self._doing.given_up:
            return
        try:
            if key not in self._doing.absent and self._is_there(key):
                return
            more = {"Metadata": {"sha256": _sha256(path)}}
            self._client().upload_file(str(path), self.far.bucket, key, ExtraArgs=more)
            self._add(sent=path.stat().st_size)
        except FileNotFoundError:
            pass  # pruned meanwhile
        except Exception as error:
            if not _expected(error):
                raise
            self._stop_sending(error)

    def _is_there(self, key: str) -> bool:
        try:
            self._client().head_object(Bucket=self.far.bucket, Key=key)
        except Exception as error:
            if _code(error) not in _ABSENT:
                raise
            return False
        return True

    def _key(self, kind: str, path: Path) -> str:
        return f"{self.far.prefix}{kind}/{path.name[:2]}/{path.name}"

    def _client(self) -> Any:
        """Return the client, made when it is first wanted."""
        with self._doing.lock:
            if self._doing.client is None:
                import boto3
                from botocore.config import Config

                config = Config(
                    connect_timeout=5,
                    read_timeout=60,
                    max_pool_connections=2 * _THREADS,
                    retries={"mode": "standard", "max_attempts": 3},
                )
                self._doing.client = boto3.session.Session().client("s3", config=config)
            return self._doing.client

    def _threads(self) -> ThreadPoolExecutor:
        if self._doing.pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._doing.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="layerkit-shared")
        return self._doing.pool

    def _give_up(self, error: Exception) -> None:
        """Go on without the bucket, and say so once."""
        with self._doing.lock:
            first, self._doing.given_up = not self._doing.given_up, True
        if first:
            self._say(f"shared store: {self.far} cannot be used: {_words(error)}; going on without it")

    def _stop_sending(self, error: Exception) -> None:
        """Send nothing more, and say so once: who may not write can still read."""
        with self._doing.lock:
            first, self._doing.may_send = self._doing.may_send, False
        if first:
            self._say(f"shared store: nothing more is sent to {self.far}: {_words(error)}")

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


class _DamagedError(Exception):
    """An object's content is not what its digests say."""


_open: list[SharedStore] = []


def settle(*, abandon: bool = False) -> None:
    """Let all stores end what they do in the background."""
    while _open:
        _open.pop().settle(abandon=abandon)


def _expected(error: Exception) -> bool:
    """Say whether AWS or the network is to blame."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return isinstance(error, BotoCoreError | ClientError | Boto3Error | HTTPError | OSError)


def _code(error: Exception) -> str:
    """Return AWS's word for an error; empty where it is none of AWS's."""
    found = getattr(error, "response", {})
    return str(found.get("Error", {}).get("Code", "")) if isinstance(found, dict) else ""


def _words(error: Exception) -> str:
    """Return one line about an error, without addresses that could hold credentials."""
    return _code(error) or type(error).__name__


def _written(chunks: Iterable[bytes], path: Path) -> tuple[str, int]:
    """Write a file, and return its sha256 and size."""
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            count += file.write(chunk)
    return digest.hexdigest(), count


def _hold(found: str, *wanted: str | None) -> None:
    """Raise _DamagedError unless the digest is the one that is wanted."""
    if {found} != {*wanted}:
        raise _DamagedError


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
