"""Work that others do: orders to the workers of a Dask cluster, results through the shared store.

An order is a frozen value that says what is to be done; with it goes the name of the function that does it.
The worker opens its own folder (its LAYERKIT_CACHE) with the bucket behind it, does what this machine would
do, waits until the result is in the bucket, and answers with a small value and with what was to be said.
This machine then takes the result out of the bucket as it takes whatever another machine made. Nothing
secret is in an order: a worker has its own environment and its own netrc.

`distributed` is an extra, imported when there is something to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import threading
import time
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from msgspec import Struct, field

from layerkit import __version__
from layerkit.errors import ClusterError, ConfigError, LayerkitError, UsageError
from layerkit.shared import SharedStore, reads_only
from layerkit.store import Store
from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from typing_extensions import Self

    from layerkit.far import Far
    from layerkit.lock import WheelRef

VARIABLE = "LAYERKIT_SCHEDULER"
# Seconds: for the scheduler to answer, for a worker to come, and between two looks whether there are any.
_ANSWER = 5.0
_PATIENCE = 20.0
_LOOK = 2.0
_ADDRESS = re.compile(r"(tcp|tls)://[^\s/@]+:\d{1,5}")
_LOGGERS = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado")

T = TypeVar("T", bound="Order")
R = TypeVar("R")


class Kit(Struct, frozen=True, kw_only=True):
    """What decides bytes beside an order: who does not have the same may not take it."""

    layerkit: str
    python: str
    deflate: str

    def __str__(self) -> str:
        """Return it in one line."""
        return f"layerkit {self.layerkit}, Python {self.python}, deflate {self.deflate}"


@cache
def kit() -> Kit:
    """Return what this process has; of layerkit every source counts, as its version does not tell all."""
    found, root = hashlib.sha256(), Path(__file__).parent
    for path in sorted(root.rglob("*")):
        if path.suffix in {".py", ".json", ".toml"}:
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return Kit(
        layerkit=f"{__version__} ({found.hexdigest()[:12]})",
        python="{}.{}".format(*sys.version_info[:2]),
        deflate=version("deflate"),
    )


class Order(Protocol):
    """A frozen value that says what is to be done."""

    @property
    def label(self) -> str:
        """Return what people know it by."""

    @property
    def key(self) -> str:
        """Return what tells it from all others, in hex."""

    @property
    def after(self) -> tuple[str, ...]:
        """Return the keys of orders whose results it is based on."""


class Station(Struct, frozen=True, kw_only=True):
    """Where an order is carried out: its store, who is talked to, and how many threads there are.

    What was put into the store is in the bucket before the order counts as done.
    """

    store: SharedStore
    talk: Callable[[str], None]
    threads: int


class Letter(Struct, frozen=True, kw_only=True):
    """What is sent to a worker: `work(order, station)` is called there, by whoever has the same kit."""

    kit: Kit
    far: Far
    work: Callable[[Any, Station], Any]
    order: Order


class FailedError(Exception):
    """An envelope for what a worker raises: of an error with a long text Dask sends the beginning alone."""

    def __str__(self) -> str:
        """Return a short text, whatever is inside."""
        return type(self.args[0]).__name__


def fulfil(letter: Letter, *_after: object) -> tuple[Any, tuple[str, ...], float]:
    """Carry out an order, on a worker; return what comes of it, what was said meanwhile, and the seconds.

    Raises FailedError with what the work raises, with a ClusterError where this worker is not fit for it.
    """
    try:
        return _fulfilled(letter)
    except LayerkitError as error:
        raise FailedError(error) from None


def _fulfilled(letter: Letter) -> tuple[Any, tuple[str, ...], float]:
    from distributed import get_worker

    if kit() != letter.kit:
        raise _differs("a worker", kit(), letter.kit)
    since = time.perf_counter()
    said: list[str] = []
    store = _station_store(letter.far).again(said.append)
    try:
        found = letter.work(
            letter.order, Station(store=store, talk=said.append, threads=get_worker().state.nthreads)
        )
        store.deliver()
    finally:
        store.settle(abandon=True)
    return found, tuple(said), time.perf_counter() - since


@cache
def _station_store(far: Far) -> SharedStore:
    """Return the worker's store, whose connections all orders share."""
    return SharedStore(Store.default().root, far, lambda _text: None, read_only=reads_only())


class Cluster(Struct, kw_only=True):
    """The workers of a cluster, for one command. Use it in a `with` block: its end takes back what was sent.

    Nothing is connected to before there is something to do. Several threads may give work at once. `work` is
    how many seconds the workers spent on it.
    """

    address: str
    store: SharedStore
    work: float = 0.0
    _client: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _made: dict[str, Any] = field(default_factory=dict)
    _run: str = field(default_factory=lambda: uuid4().hex[:8])

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what is under way and leave the scheduler."""
        self.stop()
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close(timeout=_ANSWER)
        self._made.clear()

    def stop(self) -> None:
        """Take back what was sent and is not done; whoever waits for it is told so."""
        if self._client is not None:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(self._made.values()), force=True)

    def do(
        self,
        work: Callable[[T, Station], R],
        orders: Sequence[T],
        talk: Callable[[str], None],
        *,
        only: Sequence[str] | None = None,
    ) -> list[R]:
        """Have orders carried out side by side by `work`, and return what came of each, in their order.

        An order waits for those of this run that it comes `after`, which are carried out again where the
        worker died that had done so. `only` are the workers that may do it. A worker that dies is survived:
        its work goes to others. Raises the first error there is, ClusterError where the cluster is to blame.
        """
        client, ended = self._connected(), SimpleQueue[Any]()
        futures = [self._send(client, work, order, only) for order in orders]
        for future in futures:
            future.add_done_callback(ended.put)
        try:
            self._wait(ended, len(futures))
            found = client.gather(futures)
        except BaseException as error:  # noqa: BLE001 - raised again, in our words
            with contextlib.suppress(Exception):
                client.cancel(futures, force=True)
            raise self._understood(error) from None
        for _, said, seconds in found:
            self.work += seconds
            for text in said:
                talk(text)
        self.store.look_again()
        return [value for value, _, _ in found]

    def summary(self) -> str:
        """Return what was done in one line, empty where nothing was to do."""
        many = f"{len(self._made):,} {plural(len(self._made), 'order')}"
        return f"{self.address}: {many}, {self.work:.1f} s of work" if self._made else ""

    def ask(self, question: Callable[[], R]) -> dict[str, R]:
        """Return what each worker that is there answers to a question of layerkit's."""
        answers = self._connected().run(question, on_error="return")
        return {address: said for address, said in answers.items() if not isinstance(said, BaseException)}

    def hand_over(self, wheels: Iterable[WheelRef], fetch: Callable[[list[WheelRef]], None]) -> None:
        """Have wheels in the bucket that no worker finds elsewhere, as they lie here. Raises NetworkError."""
        here = [one for one in wheels if one.path or not (one.url or "").startswith(("http:", "https:"))]
        if here:
            fetch(here)
            for one in here:
                self.store.share("wheels", one.sha256, ".whl")
            self.store.deliver()

    def _send(self, client: Any, work: Callable[..., Any], order: Order, only: Sequence[str] | None) -> Any:
        """Send an order; return what becomes of it."""
        based = [self._made[one] for one in order.after if one in self._made]
        letter = Letter(kit=kit(), far=self.store.far, work=work, order=order)
        more = {"workers": list(only)} if only is not None else {}
        name = f"{order.label}-{order.key[:16]}-{self._run}"
        self._made[order.key] = client.submit(fulfil, letter, *based, key=name, pure=False, **more)
        return self._made[order.key]

    def _wait(self, ended: SimpleQueue[Any], count: int) -> None:
        """Wait until so many have ended; raise the first error."""
        since = time.monotonic()
        while count:
            try:
                future = ended.get(timeout=_LOOK)
            except Empty:
                if self._workers():
                    since = time.monotonic()
                elif time.monotonic() - since > _PATIENCE:
                    raise self._no_workers() from None
                continue
            count -= 1
            if future.status == "error":
                raise future.exception()
            if future.status != "finished":
                raise _gone(self.address)

    def _understood(self, error: BaseException) -> BaseException:
        """Return an error as users know it."""
        from distributed import CancelledError, KilledWorker

        if isinstance(error, FailedError):
            return error.args[0]  # type: ignore[no-any-return]
        if isinstance(error, KilledWorker):
            name = str(error.task).rsplit("-", 2)[0]
            return ClusterError(
                f"workers died over {name}, {error.allowed_failures + 1} of them",
                where=self.address,
                fix="look at their logs: has a worker too little memory, or too little room on its disk?",
            )
        if isinstance(error, RuntimeError) and "deserialization" in str(error):
            fix = f"install layerkit {__version__}, with its extra, where the scheduler runs"
            return ClusterError("the scheduler cannot read what it is sent", where=self.address, fix=fix)
        if isinstance(error, CancelledError):
            return _gone(self.address)
        return error

    def _workers(self) -> list[str]:
        if self._client is None or self._client.status != "running":
            raise _gone(self.address)
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _no_workers(self) -> ClusterError:
        return ClusterError(
            "the scheduler has no workers",
            where=self.address,
            fix=f"start some: dask worker {self.address}",
        )

    def _connected(self) -> Any:
        """Return the client, connected at the first call to a scheduler whose workers are fit."""
        with self._lock:
            if self._client is None:
                self._client = _client(self.address)
                try:
                    self._client.wait_for_workers(1, timeout=_PATIENCE)
                except TimeoutError:
                    raise self._no_workers() from None
                self._inspect()
        return self._client

    def _inspect(self) -> None:
        """Raise ClusterError unless all workers have what this machine has."""
        for address, said in sorted(self._client.run(kit, on_error="return").items()):
            if isinstance(said, ImportError):
                fix = f"install layerkit {__version__} where the workers run"
                raise ClusterError(f"the worker cannot import layerkit: {said}", where=address, fix=fix)
            if not isinstance(said, Kit) or said != kit():
                raise _differs(f"the worker {address}", said, kit())


def open_cluster(address: str, store: Store) -> Cluster:
    """Return the cluster of a scheduler; nothing is connected to yet.

    Raises UsageError for an address that is none and where the extra is missing, ConfigError without a
    store that workers can write to.
    """
    if _ADDRESS.fullmatch(address) is None:
        raise UsageError(
            f"{address!r} is no address of a scheduler", where="--scheduler", fix="tcp://HOST:PORT"
        )
    if find_spec("distributed") is None:
        fix = "install the extra: pip install 'layerkit[cluster]'"
        raise UsageError(
            "a cluster takes the package `distributed`, which is not installed", where="--scheduler", fix=fix
        )
    if not isinstance(store, SharedStore):
        fix = 'name one: store = "s3://BUCKET/PREFIX" in [tool.layerkit], or LAYERKIT_STORE'
        raise ConfigError(
            "results come through a shared store, and there is none", where="--scheduler", fix=fix
        )
    if not store.sends:
        fix = "build here, without --scheduler, or give the job a store that it may write to"
        raise ConfigError(
            "the shared store is to be read only, and workers write", where="--scheduler", fix=fix
        )
    return Cluster(address=address, store=store)


def _client(address: str) -> Any:
    """Return a client that is connected. Raises ClusterError."""
    import logging

    from distributed import Client

    for name in _LOGGERS:  # it says in several screens what we say in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        connect: Any = Client  # it has types for some of what it does
        return connect(address, timeout=_ANSWER, set_as_default=False, name="layerkit")
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"the scheduler does not answer ({type(error).__name__})",
            where=address,
            fix="is it running (`dask scheduler`), and may this machine reach it?",
        ) from None


def _gone(address: str) -> ClusterError:
    return ClusterError(
        "the scheduler went away, and what it was told with it",
        where=address,
        fix="start it again and build once more: what was done is in the shared store",
    )


def _differs(who: str, theirs: object, ours: Kit) -> ClusterError:
    fix = "workers need the same: the recipes decide the bytes of a layer"
    return ClusterError(f"{who} has {theirs}, and the build {ours}", fix=fix)
