"""What the workers of a cluster are asked to do: orders, and the functions that carry them out.

They do what a build does on its own machine, with the same steps, in the worker's own store.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.errors import ClusterError, LayerkitError
from layerkit.redaction import strip_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerkit.bytecode.compiler import Compiles
    from layerkit.cluster import Station
    from layerkit.engines import Engines
    from layerkit.lock import LockedPackage, WheelRef
    from layerkit.lock.sources import BuiltWheel
    from layerkit.lock.uv import Candidate
    from layerkit.prepare import PreparedWheel
    from layerkit.project import EngineRule
    from layerkit.project.specs import Containers
    from layerkit.settings import Settings
    from layerkit.store import Store
    from layerkit.target import Target
    from layerkit.workshop import Workshop


class WheelOrder(Struct, frozen=True, kw_only=True):
    """A wheel to be prepared under a key; `images` are those that the project names to run in.

    `source` is the key of the order to build the wheel, where it is built.
    """

    wheel: WheelRef
    key: str
    target: Target
    settings: Settings
    images: tuple[tuple[str, str], ...]
    engine: EngineRule
    offline: bool
    source: str | None = None

    @property
    def label(self) -> str:
        """Return what people know it by."""
        return f"preparing-{self.wheel.filename}"

    @property
    def after(self) -> tuple[str, ...]:
        """Return the key of the order to build the wheel."""
        return (self.source,) if self.source else ()


class LayerOrder(Struct, frozen=True, kw_only=True):
    """A layer to be composed under a key, of prepared wheels (name, key) and what a Dockerfile left (key)."""

    name: str
    key: str
    packages: tuple[tuple[str, str], ...]
    collisions: tuple[tuple[str, str], ...]
    opt: str | None

    @property
    def label(self) -> str:
        """Return what people know it by."""
        return f"composing-{self.name}"

    @property
    def after(self) -> tuple[str, ...]:
        """Return the keys of the orders to prepare its wheels."""
        return tuple(key for _, key in self.packages)


def open_to_all(file: WheelRef) -> WheelRef:
    """Return a wheel or source archive as an order may name it: without credentials and without a path."""
    return replace(file, url=file.url and strip_credentials(file.url), path=None)


def source_key(sdist: WheelRef, target: Target) -> str:
    """Return the key of the order to build a source archive for a target."""
    return sha256(f"{sdist.sha256} {target.key}".encode()).hexdigest()


class SourceOrder(Struct, frozen=True, kw_only=True):
    """A source archive to be built in the image of a target's runtime.

    `bounds` are the project's constraints of what builds may use. With `locked` the wheel that a lock has is
    wanted again, by the same tools.
    """

    candidate: Candidate
    sdist: WheelRef
    locked: LockedPackage | None
    target: Target
    containers: Containers
    bounds: tuple[str, ...]
    engine: EngineRule
    offline: bool

    @property
    def label(self) -> str:
        """Return what people know it by."""
        return f"building-{self.candidate.name}"

    @property
    def key(self) -> str:
        """Return the digest of the archive and the target; it stands for the wheel that is not known yet."""
        return source_key(self.sdist, self.target)

    @property
    def after(self) -> tuple[str, ...]:
        """Return nothing: a build has its tools from the index."""
        return ()


def build_source(order: SourceOrder, station: Station) -> tuple[BuiltWheel, dict[str, str]]:
    """Have the wheel of a source archive in the bucket; return it and the logs, by their names.

    Raises what building raises, its logs with it.
    """
    import tempfile

    from layerkit.container.building import Bench, Builder
    from layerkit.engines import Engines
    from layerkit.fetch import fetch
    from layerkit.project import Project

    store, target = station.store, order.target
    with (
        tempfile.TemporaryDirectory(prefix="layerkit-") as name,
        Engines(rule=order.engine, talk=station.talk) as engines,
    ):
        root = Path(name)
        bench = Bench(
            project=Project(
                name="worker",
                version="0",
                root=root,
                file=root / "pyproject.toml",
                layers=(),
                stacks=(),
                runtimes=(target.runtime,),
                output=root,
                lock_folder=root,
                containers=order.containers,
            ),
            target=target,
            store=store,
            need=lambda why: engines.need(target.key, why),
            fetch=partial(fetch, store=store, offline=order.offline),
            talk=station.talk,
            offline=order.offline,
        )
        try:
            made = Builder(bench, order.bounds).built(order.candidate, order.sdist, order.locked)
        except LayerkitError as error:
            vars(error)["logs"] = (name, _logs(root))
            raise
        logs = _logs(root)
    store.share("wheels", made.wheel.sha256, ".whl")
    return made, logs


def _logs(root: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in root.glob("logs/*.log")}


def write_logs(logs: Mapping[str, str], folder: Path) -> None:
    """Put the logs of a worker's builds where they would be had it been built here."""
    from layerkit.output import write_bytes

    for log, text in logs.items():
        write_bytes(folder / "logs" / log, text.encode())


def keep_logs(error: LayerkitError, folder: Path) -> None:
    """Put the logs of a build that failed on a worker where they would be had it failed here."""
    name, logs = vars(error).pop("logs", ("", {}))
    write_logs(logs, folder)
    if name and error.fix:
        error.fix = error.fix.replace(name, str(folder))


def prepare_wheel(order: WheelOrder, station: Station) -> None:
    """Have a prepared wheel, whole and its tail, in the bucket. Raises what preparing raises."""
    from layerkit import prepare as preparing
    from layerkit.engines import Engines
    from layerkit.fetch import fetch
    from layerkit.workshop import Workshop

    store = station.store
    if preparing.load(store, order.key) is None:
        take = partial(fetch, store=store, offline=order.offline)
        take([order.wheel])
        with ExitStack() as stack:
            engines = stack.enter_context(Engines(rule=order.engine, talk=station.talk))
            start = _compiler(order, station, engines)
            workshop = stack.enter_context(Workshop(start, threads=station.threads))
            prepared(
                order.wheel, order.target, order.settings, store, workshop, fetch=take, talk=station.talk
            )
    store.share(preparing.KIND, order.key, preparing.SUFFIX)
    if store.has(preparing.TAILS, order.key, preparing.TAIL):
        store.share(preparing.TAILS, order.key, preparing.TAIL)
    else:
        preparing.share_tail(store, order.key)


def prepared(
    wheel: WheelRef,
    target: Target,
    settings: Settings,
    store: Store,
    workshop: Workshop,
    *,
    fetch: Callable[[Sequence[WheelRef]], None],
    talk: Callable[[str], None],
) -> PreparedWheel:
    """Prepare a wheel; one that rotted in the store is taken out of it and fetched once more."""
    from layerkit.errors import WheelError
    from layerkit.prepare import prepare
    from layerkit.wheel import file_sha256

    path = store.path("wheels", wheel.sha256, ".whl")
    make = partial(prepare, path, wheel.filename, wheel.sha256, target, store, settings, workshop=workshop)
    try:
        return make()
    except WheelError:
        if file_sha256(path) == wheel.sha256:
            raise
    talk(f"{wheel.filename} was damaged in the store; fetching it again")
    store.evict("wheels", wheel.sha256, ".whl")
    fetch([wheel])
    return make()


def compose_layer(order: LayerOrder, station: Station) -> bool:
    """Have a layer's zip in the bucket; say whether all was there that it is composed of.

    Raises WheelError for collisions, ConfigError for an entry of `collisions` that names the wrong package.
    """
    import tempfile

    from layerkit import dockerfiles
    from layerkit import prepare as preparing
    from layerkit.archive import DamagedRunError
    from layerkit.layer import finished, zips

    store = station.store
    keys = dict(order.packages)
    found = preparing.load_all(store, keys.values())
    opt = store.find(dockerfiles.KIND, order.opt, dockerfiles.SUFFIX) if order.opt else None
    if len(found) < len(set(keys.values())) or (order.opt and opt is None):
        return False
    wheels = {name: found[key] for name, key in keys.items()}
    with tempfile.TemporaryDirectory(prefix="layerkit-") as folder:
        path = Path(folder, f"layer{finished.SUFFIX}")
        try:
            layer = zips.compose_layer(order.name, wheels, path, dict(order.collisions), opt)
        except DamagedRunError as error:
            for key in keys.values():
                if store.path(preparing.KIND, key, preparing.SUFFIX) == error.path:
                    store.evict(preparing.KIND, key, preparing.SUFFIX)
            return False
        finished.offer(store, [(order.key, layer)])
        store.deliver()
    return True


def _compiler(order: WheelOrder, station: Station, engines: Engines) -> Callable[[], Compiles] | None:
    """Return how this worker's compiler is started, which has to be the one that the key counts on."""
    from layerkit.bytecode.finding import compiling, find
    from layerkit.bytecode.in_image import Images

    wanted, target = order.settings.interpreter, order.target
    if wanted is None:
        return None
    images = Images(
        engines=engines, target=target, named=dict(order.images), talk=station.talk, offline=order.offline
    )
    found = find(target.minor, station.store, images=images, offline=order.offline)
    if found is None or found.interpreter != wanted:
        has = f"Python {found.interpreter.version}" if found else f"no Python {target.minor}"
        raise ClusterError(
            f"a worker has {has} to compile bytecode with, and the build counts on {wanted.version}",
            where=target.key,
            fix="install the same release where workers run and here, or set `bytecode = false`",
        )
    return compiling(found, images)
