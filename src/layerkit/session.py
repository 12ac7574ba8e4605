"""What every command works with: the project, its targets, the store, and the locks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from layerkit import lock as locks
from layerkit.engines import INSIDE, Engines, rule_of
from layerkit.errors import BuildError, LayerkitError, ResolutionError, UsageError
from layerkit.project import load, validate, with_pins
from layerkit.shared import open_store
from layerkit.target import maintained_runtimes, parse_arch, parse_runtime
from layerkit.target import target as make_target
from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from layerkit.cluster import Cluster
    from layerkit.container.building import Builder
    from layerkit.fetch.download import Progress
    from layerkit.lock import Lock, LockedPackage, WheelRef
    from layerkit.lock.places import Inside
    from layerkit.lock.sources import BuiltWheel, Sources
    from layerkit.lock.uv import Candidate
    from layerkit.project import Overrides, Project
    from layerkit.store import Store
    from layerkit.target import Target


class Session(Struct, frozen=True, kw_only=True):
    """What every step of a command works with.

    `project` was read without the pins of existing locks, which only a new resolution needs.
    `engines` says what containers may be used for, and is the way to them; `builders` are those of the
    targets that had something to build. `require_hashes` says that the project has to vouch for every wheel.
    `fetching` lets one target download at a time, which is many files side by side. With a `cluster` its
    workers do what takes time.
    """

    project: Project
    targets: tuple[Target, ...]
    store: Store
    offline: bool
    engines: Engines
    talk: Callable[[str], None]
    progress: Progress
    builders: dict[str, Builder] = field(default_factory=dict)
    require_hashes: bool = False
    fetching: threading.Lock = field(default_factory=threading.Lock)
    cluster: Cluster | None = None


def open_session(
    path: Path,
    *,
    talk: Callable[[str], None],
    progress: Progress,
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    sdk_version: str | None = None,
    offline: bool = False,
    engine: str | None = None,
    **overrides: Any,
) -> Session:
    """Read the project and name the targets; nothing is resolved yet.

    `runtimes` and `architectures` replace the project's; `all` means every one that AWS still
    lets its users update.
    """
    chosen: Overrides = {**overrides, "pins": False}  # type: ignore[typeddict-item]
    chosen["runtimes"] = chosen_runtimes(runtimes) or None
    chosen["architectures"] = tuple(map(parse_arch, architectures)) or None
    project = load(path, **chosen)
    targets = tuple(_targets(project, sdk_version or project.sdk_version, talk))
    return Session(
        project=project,
        targets=targets,
        store=open_store(project.store, talk),
        offline=offline,
        engines=Engines(rule=rule_of(engine, project.engine), talk=talk),
        talk=talk,
        progress=progress,
    )


def chosen_runtimes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the runtimes that a command line names, each once."""
    if "all" in names:
        return maintained_runtimes()
    return tuple(dict.fromkeys(map(parse_runtime, names)))


def _targets(project: Project, sdk_version: str | None, talk: Callable[[str], None]) -> Iterable[Target]:
    """Yield every pair of runtime and architecture that exists; say which do not."""
    pairs = [(runtime, arch) for runtime in project.runtimes for arch in project.architectures]
    found = 0
    last: UsageError | None = None
    for runtime, arch in pairs:
        try:
            one = make_target(runtime, arch, sdk_version)
        except UsageError as error:  # noqa: PERF203 - a handful of pairs
            talk(f"left out: {error.what}")
            last = error
        else:
            found += 1
            yield one
    if not found and last is not None:
        raise last


def lock_target(session: Session, target: Target, *, upgrade: Sequence[str] = (), renew: bool = True) -> Lock:
    """Return the target's lock: the one on disk where it is current, else a new one.

    Raises ResolutionError when it would have to be made and `renew` forbids it, or when the project has to
    name the hashes itself and does not.
    """
    lock = _lock(session, target, upgrade=upgrade, renew=renew)
    if session.require_hashes or session.project.require_hashes:
        from layerkit.lock.vouched import prove

        prove(with_pins(session.project), lock)
    return lock


def _lock(session: Session, target: Target, *, upgrade: Sequence[str], renew: bool) -> Lock:
    where = str(locks.lock_path(session.project, target))
    all_inside = session.engines.all_inside
    if not upgrade and (lock := locks.current(session.project, target, inside=all_inside)):
        changed = _built_again(session, lock)
        if not changed:
            return lock
        if not renew:
            raise ResolutionError(
                f"built again, these are not the wheels of the lock: {'; '.join(changed)}",
                where=where,
                fix="run `layerkit lock`, or use the store that has the wheels of the lock",
            )
        session.talk(f"{target.key}: built again, with other bytes than the lock has: {'; '.join(changed)}")
    elif not renew:
        raise ResolutionError(
            "the lock is missing or answers other requirements"
            + (", or it was not made inside the image" if all_inside else ""),
            where=where,
            fix="run `layerkit lock`" + (" --engine docker" if all_inside else ""),
        )
    from layerkit.lock.resolve import resolve
    from layerkit.lock.uv import Uv

    project = with_pins(session.project)
    validate(project)
    inside = _inside(session, target) if all_inside else None
    session.talk(f"{target.key}: resolving" + (f" in {inside.image.reference}" if inside else ""))
    uv = Uv(
        inside.target if inside else target,
        session.store,
        project.root,
        sources=_sources(session, target),
        place=inside.place if inside else None,
        offline=session.offline,
    )
    return resolve(
        project,
        target,
        uv,
        session.store,
        lambda wheels: fetch_wheels(session, wheels),
        built=_built_folders(session, target),
        inside=inside,
        upgrade=upgrade,
    )


def _inside(session: Session, target: Target) -> Inside:
    """Return how to resolve inside the runtime's image."""
    from layerkit.container.images import ready, reference
    from layerkit.container.uv_room import resolver

    project = session.project
    rooms = session.engines.need(target.key, INSIDE)
    wanted = reference(target, "run", dict(project.containers.images))
    image = ready(rooms.engine, wanted, target.arch, session.talk, offline=session.offline)
    return resolver(
        rooms,
        image,
        target,
        project,
        session.store,
        lambda wheels: fetch_wheels(session, wheels),
        offline=session.offline,
    )


def lock_targets(session: Session, *, upgrade: Sequence[str] = (), renew: bool = True) -> list[Lock]:
    """Return the locks of all targets; those that have to be made or built again are so side by side.

    The first failure, an interrupt as well, ends what the others run in containers, and is raised.
    """

    def one(target: Target) -> Lock:
        return lock_target(session, target, upgrade=upgrade, renew=renew)

    missing = [target for target in session.targets if upgrade or _takes_time(session, target)]
    if len(missing) < 2:  # noqa: PLR2004 - one alone needs no thread
        return [one(target) for target in session.targets]
    _side_by_side(session, one, missing)
    return [lock_target(session, target, renew=renew) for target in session.targets]


def _takes_time(session: Session, target: Target) -> bool:
    """Say whether a target's lock has to be made, or what it has from source has to be built again."""
    lock = locks.current(session.project, target, inside=session.engines.all_inside)
    return lock is None or bool(_unbuilt(session, lock))


def _side_by_side(session: Session, one: Callable[[Target], Lock], targets: Sequence[Target]) -> None:
    """Lock targets in threads of their own."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    from layerkit.container.room import heeding_sigterm

    with heeding_sigterm(), ThreadPoolExecutor(len(targets)) as pool:
        work = [pool.submit(one, target) for target in targets]
        try:
            for ended in wait(work, return_when=FIRST_EXCEPTION).done:
                ended.result()
        except BaseException:
            session.engines.__exit__()  # a program whose container is gone keeps nobody waiting
            raise


def _unbuilt(session: Session, lock: Lock) -> list[LockedPackage]:
    """Return what the lock has from source and the store no longer has."""
    return [
        package
        for package in lock.packages
        if package.source and session.store.find("wheels", package.wheel.sha256, ".whl") is None
    ]


def _built_again(session: Session, lock: Lock) -> list[str]:
    """Build what the lock has from source and the store no longer has; say what came out differently."""
    missing = _unbuilt(session, lock)
    if not missing:
        return []
    from layerkit.container.building import differs
    from layerkit.lock.uv import Candidate

    locked = [
        (Candidate(name=one.name, version=one.version, wheels=(), sdist=one.source.sdist), one)
        for one in missing
        if one.source
    ]
    if made := _built_away(session, lock.target, locked):
        pairs = ((one, one.source, built) for (_, one), built in zip(locked, made, strict=True))
        return [text for one, source, built in pairs if source and (text := differs(one, source, built))]
    builder = _builder(session, lock.target)
    return [text for package in missing if (text := builder.again(package)) is not None]


def _built_away(
    session: Session, target: Target, wanted: Sequence[tuple[Candidate, LockedPackage | None]]
) -> list[BuiltWheel] | None:
    """Have the workers of a cluster that have an engine build source archives; None where none can.

    They cannot where the image to build in is made from a file of this machine, nor what lies here alone.
    """
    sdists = [candidate.sdist for candidate, _ in wanted if candidate.sdist and candidate.sdist.url]
    if session.cluster is None or session.project.containers.build_files or len(sdists) < len(wanted):
        return None
    from layerkit.container.images import reference
    from layerkit.lock.sources import build_constraints
    from layerkit.orders import SourceOrder, build_source, keep_logs, open_to_all, write_logs

    able = _with_engines(session.cluster)
    if not able or session.engines.rule == "wheels":
        return None
    containers = session.project.containers
    image = reference(target, "build", dict(containers.build_images))
    orders = [
        SourceOrder(
            candidate=replace(candidate, sdist=None),
            sdist=open_to_all(sdist),
            locked=locked,
            target=target,
            containers=replace(containers, build_images=((target.key, image),)),
            bounds=build_constraints(session.project.root),
            engine=session.engines.rule,
            offline=session.offline,
        )
        for (candidate, locked), sdist in zip(wanted, sdists, strict=True)
    ]
    many = f"{len(orders)} {plural(len(orders), 'package')}"
    session.talk(f"{target.key}: building {many} from source")
    try:
        made = session.cluster.do(build_source, orders, session.talk, only=able)
    except LayerkitError as error:
        keep_logs(error, session.project.lock_folder)
        raise
    for _, logs in made:
        write_logs(logs, session.project.lock_folder)
    # The orders for what is prepared from these wheels know them by their digests.
    return [wheel for wheel, _ in made]


def _with_engines(cluster: Cluster) -> list[str]:
    """Return the workers that have an engine."""
    from layerkit.container.engine import present

    return [address for address, has in cluster.ask(present).items() if has]


def _sources(session: Session, target: Target) -> Sources:
    """Return what builds from source: the packages that the project names, and others that have to be.

    The others are built only where that is allowed and there is an engine.
    """
    from layerkit.lock.sources import Sources

    build, builder = session.project.containers.build, _builder(session, target)

    def build_all(many: Sequence[Candidate]) -> Sequence[BuiltWheel]:
        made = _built_away(session, target, [(one, None) for one in many])
        return made or [builder(one) for one in many]

    return Sources(build, builder, may_add=_may_build(session), build_all=build_all)


def _may_build(session: Session) -> bool:
    """Say whether what has no wheel is built in a container: that is allowed, and there is an engine."""
    from layerkit.container.engine import present

    rule = session.engines.rule
    if rule == "auto" and session.cluster is not None and not present():
        return bool(_with_engines(session.cluster))
    return rule == "docker" or (rule == "auto" and present())


def _builder(session: Session, target: Target) -> Builder:
    """Return what builds source archives for a target, the same one each time."""
    from layerkit.container.building import Bench, Builder

    if target.key in session.builders:
        return session.builders[target.key]
    bench = Bench(
        project=session.project,
        target=target,
        store=session.store,
        need=lambda why: session.engines.need(target.key, why),
        fetch=lambda files: fetch_wheels(session, files),
        talk=session.talk,
        offline=session.offline,
    )
    return session.builders.setdefault(target.key, Builder(bench))


def _built_folders(session: Session, target: Target) -> dict[Path, Path]:
    """Build the local folders that the project requires, each once; return folder to wheel."""
    folders = {root.path: root.name for root in locks.roots(session.project) if root.path}
    return {
        folder: _build_folder(session, folder, name, target)
        for folder, name in sorted(folders.items())
        if folder.is_dir()
    }


def _build_folder(session: Session, folder: Path, name: str | None, target: Target) -> Path:
    """Build one local folder into a wheel beside the locks.

    Where that cannot run on the target, and where the project says so, it is built in the image.
    """
    from layerkit.lock.local import build_wheel, refuse_foreign

    content, kept = session.project.content(folder), session.project.lock_folder / "wheels"
    if name not in session.project.containers.build:
        wheel = build_wheel(folder, content, session.store, kept, offline=session.offline)
        try:
            refuse_foreign(wheel, target)
        except BuildError:
            if not _may_build(session):
                raise
        else:
            return wheel
    return _builder(session, target).folder(folder, content, kept)


def own_package(session: Session, target: Target) -> LockedPackage | None:
    """Return the project's own package, built now, where a layer holds it and the lock does not.

    The lock leaves it out: its content changes with every edit, what it requires hardly ever.
    """
    project = session.project
    if not locks.holds_own_wheel(project):
        return None
    from layerkit.lock import LockedPackage, WheelRef
    from layerkit.metadata import dependencies
    from layerkit.wheel import Wheel

    path = _build_folder(session, project.root, project.distribution, target)
    wheel = Wheel.open(path, path.name)
    ref = WheelRef(filename=path.name, sha256=wheel.sha256, size=path.stat().st_size, path=str(path))
    needs = tuple(need for need in dependencies(wheel.metadata, target) if not need.extra)
    return LockedPackage(name=wheel.name, version=wheel.version, wheel=ref, requires=needs)


def fetch_wheels(session: Session, wheels: Sequence[WheelRef]) -> None:
    """Have every wheel in the store, with the credentials that uv would use."""
    from layerkit.fetch import fetch
    from layerkit.fetch.credentials import Credentials

    project = session.project
    addresses = [root.text.partition(" @ ")[2] for root in locks.roots(project) if " @ " in root.text]
    credentials = Credentials.load(project.root, arguments=project.index_arguments, addresses=addresses)
    with session.fetching:
        fetch(
            wheels, session.store, credentials=credentials, offline=session.offline, progress=session.progress
        )
