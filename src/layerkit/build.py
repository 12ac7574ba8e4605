"""One target from a project to its zips: the steps in order, each a call to a floor below."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from layerkit.engines import INSIDE
from layerkit.errors import ConfigError
from layerkit.layer import last_division, standing
from layerkit.output import alone, write_bytes
from layerkit.preparation import means, prepare_wheels
from layerkit.session import lock_target, own_package
from layerkit.shared import SharedStore
from layerkit.slim.table import text as slim_table
from layerkit.source_date import refuse_garbage
from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.archive import Entry
    from layerkit.check.findings import Report
    from layerkit.cluster import Cluster
    from layerkit.container.question import Question
    from layerkit.dockerfiles import OptLayer
    from layerkit.engines import Use
    from layerkit.layer.finished import Wanted
    from layerkit.layer.function_code import CodeZip, FunctionCode
    from layerkit.layer.manifest import Manifest
    from layerkit.layer.zips import BuiltLayer
    from layerkit.lock import Lock, LockedPackage
    from layerkit.plan import Plan
    from layerkit.prepare import PreparedWheel
    from layerkit.project import Project
    from layerkit.session import Session
    from layerkit.target import Target


T = TypeVar("T")


class Built(Struct, frozen=True, kw_only=True):
    """The manifest of one target, where it lies, and whether anything had to be done."""

    manifest: Manifest
    path: Path
    unchanged: bool
    engine: Use

    def paths(self) -> tuple[Path, ...]:
        """Return the zips on disk: the layers', then the functions' code."""
        return tuple(self.path.parent / one.file for one in self.manifest.zips())

    def as_json(self) -> dict[str, Any]:
        """Return the target's entry in what `build --json` prints."""
        return {
            "target": f"{self.manifest.target.runtime}-{self.manifest.target.arch}",
            "unchanged": self.unchanged,
            "engine": self.engine.as_json(),
            "manifest": str(self.path),
            "zips": [str(path) for path in self.paths()],
        }


class Planned(Struct, frozen=True, kw_only=True):
    """A plan with what it was made from; `lock` includes the project's own wheel where a layer has it.

    `again` makes anew what was remade of prepared wheels so that stacks fit, where that was done.
    `opts` are what Dockerfiles bring into layers, by layer.
    """

    lock: Lock
    plan: Plan
    prepared: Mapping[str, PreparedWheel]
    code: tuple[FunctionCode, ...]
    opts: Mapping[str, OptLayer]
    again: Callable[[], Planned] | None = None


def plan_target(session: Session, target: Target, *, locked: bool = False) -> Plan:
    """Return what would go into which layer, and why; writes no zip."""
    lock = lock_target(session, target, renew=not locked)
    own, code, asked = own_package(session, target), _code(session), _asked(session, target)
    return planned(session, lock, own, code, asked).plan


def build_target(session: Session, target: Target, *, locked: bool = False) -> Built:
    """Build the layers of one target, unless an earlier build still stands.

    Raises CheckFailedError before anything is written when a stack is not whole, UsageError for a
    SOURCE_DATE_EPOCH that is none.
    """
    refuse_garbage(os.environ)
    project = session.project
    lock = lock_target(session, target, renew=not locked)
    own = own_package(session, target)
    code = _code(session)
    path, state = manifest_path(project, target), project.lock_folder / f"{target.key}.state.json"
    asked = _asked(session, target)
    digests = [
        lock.digest,
        own.wheel.sha256 if own else "",
        _settings(project),
        means(session, target).who,
        "inside" if session.engines.all_inside else "",
        str(target.seen),
        *(one.digest() for one in code),
    ]
    key = standing.build_key(*digests, *_keys(asked), last_division.read(project, target.key)[1])
    if all(one.key for one in asked) and standing.current(path, state, key):
        from layerkit.layer.manifest import read

        return Built(manifest=read(path), path=path, unchanged=True, engine=session.engines.use(target.key))
    plan = planned(session, lock, own, code, asked)
    report = _checked(session, plan)
    if session.engines.all_inside:
        _check_inside(session, plan, report, path.name)
    # Two builds into one folder must not remember each other's files.
    with alone(project.lock_folder / f"{target.key}.busy"):
        manifest = _write(session, plan, report, path)
        division = last_division.write(project, plan.plan)
        key = standing.build_key(*digests, *_keys(plan.opts.values()), division)
        standing.remember(state, key, (path, *(path.parent / name for name in manifest.files())))
    _keep_out_of_git(project.lock_folder)
    return Built(manifest=manifest, path=path, unchanged=False, engine=session.engines.use(target.key))


def build_targets(session: Session, *, locked: bool = False) -> list[Built]:
    """Build all targets side by side, where others do the work; the first failure is raised."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(session.targets)) as pool:
        work = [pool.submit(build_target, session, target, locked=locked) for target in session.targets]
        try:
            return [one.result() for one in work]
        except BaseException:
            if session.cluster:
                session.cluster.stop()
            raise


def build_again(session: Session, target: Target) -> Built:
    """Build the layers of one target from its lock, whatever stands already, and remember nothing of it."""
    lock = lock_target(session, target, renew=False)
    plan = planned(session, lock, own_package(session, target), _code(session), _asked(session, target))
    path = manifest_path(session.project, target)
    manifest = _write(session, plan, _checked(session, plan), path)
    return Built(manifest=manifest, path=path, unchanged=False, engine=session.engines.use(target.key))


def manifest_path(project: Project, target: Target) -> Path:
    """Return where the manifest of a target lies; its zips lie beside it and begin with its name."""
    return project.output / target.key / f"{target.short}-{project.name}-{project.version}.json"


def read_built(project: Project, target: Target) -> tuple[Path, Manifest]:
    """Return the manifest of a target's last build, and where it lies. Raises ConfigError without one."""
    from layerkit.layer.manifest import read

    path = manifest_path(project, target)
    if not path.exists():
        own = path.name.partition("-")[2]
        others = sorted({one.parent.name for one in project.output.glob(f"*/*-{own}")})
        named = f", or say --runtime and --arch: built is {', '.join(others)}" if others else ""
        fix = f"run `layerkit build`{named}"
        raise ConfigError("nothing was built for this target", where=str(path), fix=fix)
    return path, read(path)


def _keep_out_of_git(folder: Path) -> None:
    """Let version control see the locks alone: all else beside them is this machine's."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_bytes(ignore, b"/*.state.json\n/*.busy\n/logs/\n/wheels/\n/.gitignore\n")


def _keys(opts: Iterable[Question | OptLayer]) -> list[str]:
    """Return what decides the files that Dockerfiles bring."""
    return [f"{one.layer} {one.dockerfile} {one.key}" for one in opts]


def _asked(session: Session, target: Target) -> tuple[Question, ...]:
    """Return what the project's Dockerfiles come to; nothing of containers is imported where it has none."""
    if not any(layer.dockerfile for layer in session.project.layers):
        return ()
    from layerkit.dockerfiles import ask

    return ask(session.project, target, session.store, session.engines)


def _opts(session: Session, target: Target, asked: Iterable[Question]) -> dict[str, OptLayer]:
    """Return what Dockerfiles bring into layers, by layer, built now where the store does not have it."""
    from layerkit.dockerfiles import get

    project, store, engines = session.project, session.store, session.engines
    return {one.layer: get(one, project, target, store, engines, offline=session.offline) for one in asked}


def _settings(project: Project) -> str:
    """Return the digest of what the project says about layers, beyond what the lock answers."""
    said = {
        "name": (project.name, project.version),
        "layers": [
            (layer.name, layer.project, layer.divided, [r.text for r in layer.requirements])
            for layer in project.layers
        ],
        "functions": [(one.name, one.layers, one.code is not None) for one in project.functions],
        "stacks": [(one.name, one.layers) for one in project.stacks],
        "layout": project.layout,
        "never": sorted(project.never),
        "collisions": sorted(project.collisions.items()),
        "alone": project.self_contained,
        "notes": project.notes,
        "slim": (slim_table(), to_builtins(project.slim), project.aws_services),
        "strip": project.strip,
        "bytecode": project.bytecode,
        "over-limit": to_builtins(project.over_limit),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _code(session: Session) -> tuple[FunctionCode, ...]:
    """Return the files of every function that declares code."""
    project = session.project
    if not any(function.code for function in project.functions):
        return ()
    from layerkit.layer.function_code import collect

    apart = (project.output, project.lock_folder)
    found = (collect(function, apart) for function in project.functions)
    return tuple(code for code in found if code is not None)


def planned(
    session: Session,
    lock: Lock,
    own: LockedPackage | None,
    code: tuple[FunctionCode, ...] = (),
    asked: Sequence[Question] = (),
) -> Planned:
    """Prepare what the layers hold, and plan them."""
    from layerkit.plan import plan

    # Of large files that move there have to be bytes, and what is checked inside an image is composed twice.
    whole = session.project.over_limit.mode != "error" or session.engines.all_inside
    lock, prepared = held_wheels(session, lock, own, whole=whole)
    opts = _opts(session, lock.target, asked) if asked else {}
    sizes = {one.function: one.size for one in code}
    if session.project.over_limit.mode != "error":
        return _fitted(session, lock, prepared, sizes, code, opts)
    before, _ = last_division.read(session.project, lock.target.key)
    made = plan(session.project, lock, prepared, sizes, before, opts)
    return Planned(lock=lock, plan=made, prepared=prepared, code=code, opts=opts)


def held_wheels(
    session: Session, lock: Lock, own: LockedPackage | None, *, whole: bool = False
) -> tuple[Lock, dict[str, PreparedWheel]]:
    """Return the lock with the project's own wheel, and every package prepared that a layer holds.

    Unless they have to be `whole`, what is known of them is enough where other machines prepared them.
    """
    from layerkit.plan.closure import held

    if own is not None:
        others = (package for package in lock.packages if package.name != own.name)
        lock = replace(lock, packages=tuple(sorted((*others, own), key=lambda package: package.name)))
    names = held(session.project, lock)
    packages = [one for one in lock.packages if one.name in names]
    return lock, prepare_wheels(session, lock.target, packages, whole=whole)


def _fitted(
    session: Session,
    lock: Lock,
    prepared: Mapping[str, PreparedWheel],
    sizes: Mapping[str, int],
    code: tuple[FunctionCode, ...],
    opts: Mapping[str, OptLayer],
) -> Planned:
    """Plan with large files out of the way where a stack would not fit, and say what starting takes then."""
    from layerkit.overlimit.fit import fit
    from layerkit.overlimit.measure import measured
    from layerkit.plan import plan

    def prepare(packages: Sequence[LockedPackage]) -> Mapping[str, PreparedWheel]:
        return prepare_wheels(session, lock.target, packages)

    def again(name: str) -> None:
        prepare([package for package in lock.packages if package.name == name])

    project = session.project
    taken = _taken(project, sizes, opts)
    fitted = _mending(
        _mends_of_wheels(session, prepared, again),
        lambda: fit(project, lock, prepared, taken, session.store, prepare),
    )
    before, _ = last_division.read(project, lock.target.key)
    made = plan(project, fitted.lock, fitted.prepared, sizes, before, opts)
    if project.over_limit.mode == "bundle" and (found := _slowest(made, fitted.prepared)):
        name, moved = found
        session.talk(f"{lock.target.key}: {name}: {measured(moved, session.store)}")
    return Planned(
        lock=fitted.lock,
        plan=replace(made, notes=(*made.notes, *fitted.notes)),
        prepared=fitted.prepared,
        code=code,
        opts=opts,
        again=partial(_fitted, session, lock, prepared, sizes, code, opts),
    )


def _taken(project: Project, sizes: Mapping[str, int], opts: Mapping[str, OptLayer]) -> dict[str, int]:
    """Return the bytes of each stack that lie in no package: code, and what Dockerfiles bring."""
    brought = {
        stack.name: sum(opts[name].unzipped for name in stack.layers if name in opts)
        for stack in project.stacks
    }
    return {name: sizes.get(name, 0) + brought.get(name, 0) for name in {*sizes, *brought}}


def _slowest(plan: Plan, prepared: Mapping[str, PreparedWheel]) -> tuple[str, list[PreparedWheel]] | None:
    """Return the stack that has most to unpack when it starts, and the wheels that it unpacks."""
    moved = {
        stack.name: [
            prepared[name]
            for layer in stack.layers
            for name in plan.layer(layer).packages
            if prepared[name].unpacked
        ]
        for stack in plan.stacks
    }
    name = max(moved, key=lambda each: sum(wheel.unpacked for wheel in moved[each]), default="")
    return (name, moved[name]) if name and moved[name] else None


def _checked(session: Session, plan: Planned) -> Report:
    """Check every stack as it would lie on Lambda, before anything is written."""
    from layerkit.check import check_plan

    files = _files(plan) if plan.opts else None
    report = check_plan(plan.plan, plan.lock, session.project.never, plan.opts, files)
    report.raise_for_errors()
    return report


def _check_inside(session: Session, plan: Planned, report: Report, name: str) -> None:
    """Check the zips as they will be, in the runtime's image, before they are written where they belong."""
    import tempfile
    from pathlib import Path

    from layerkit.check import brought
    from layerkit.check.inside import check_stacks, inside_of, stack_files
    from layerkit.container.stage import Limits
    from layerkit.project.specs import CheckRules

    target = plan.lock.target
    inside = inside_of(
        session.engines, Limits(), session.talk, project=session.project, offline=session.offline
    )
    with tempfile.TemporaryDirectory(prefix="layerkit-") as folder:
        manifest = _write(session, plan, report, Path(folder, name))
        stacks = stack_files(manifest, Path(folder))
        found = check_stacks(stacks, target, brought(target, plan.lock), inside, INSIDE)
    # What `check` shall pass over hinders no build either.
    rules = CheckRules(ignore=session.project.check.ignore)
    found = [(stack, one.under(rules)) for stack, one in found]
    for stack, one in found:
        for each in one.warnings:
            session.talk(f"{target.key}: stack {stack}: {each}")
    for _, one in found:
        one.raise_for_errors()


def _files(plan: Planned) -> dict[str, list[Entry]]:
    """Return the files of each layer, a path once for each that brings it."""
    from layerkit.archive import Run

    return {
        layer.name: [
            entry
            for run in (
                *(plan.prepared[name].run() for name in layer.packages),
                *(Run.open(opt.path) for opt in (plan.opts.get(layer.name),) if opt),
            )
            for entry in run.names()
        ]
        for layer in plan.plan.layers
    }


def _write(session: Session, plan: Planned, report: Report, path: Path) -> Manifest:
    """Write the zips and, when all are in place, the manifest; take away what the last one alone had."""
    from layerkit.layer import manifest as manifests
    from layerkit.layer.describe import describe
    from layerkit.output import remove

    folder, prefix = path.parent, path.stem
    before = manifests.files_of(path)
    layers = _compose(session, plan, folder, prefix)
    code = _write_code(plan.code, folder, prefix)
    _copy_remote(session, plan, folder)
    used = means(session, plan.lock.target)
    notes = [*used.notes, *(f"{finding.where}: {finding.text}" for finding in report.findings)]
    manifest = describe(
        session.project,
        plan.lock,
        plan.plan,
        plan.prepared,
        layers,
        code,
        settings=used.settings,
        notes=notes,
        opts=plan.opts,
    )
    manifests.write(manifest, path)
    for name in sorted(before.difference(manifest.files())):
        remove(folder / name)
    return manifest


def _copy_remote(session: Session, plan: Planned, folder: Path) -> None:
    """Copy the frames that no layer holds out of the store, for somebody to upload."""
    held = {name for layer in plan.plan.layers for name in layer.packages}
    files = [file for name in sorted(held) for file in plan.prepared[name].remote]
    if not files:
        return
    from shutil import copyfile

    from layerkit.output import draft
    from layerkit.overlimit.framing import KIND, SUFFIX

    for file, sha256, _ in files:
        with draft(folder / file) as path:
            copyfile(session.store.path(KIND, sha256, SUFFIX), path)


def _compose(session: Session, plan: Planned, folder: Path, prefix: str) -> tuple[BuiltLayer, ...]:
    """Have the layers' zips in the folder: taken where other machines composed them, else composed."""
    store = session.store
    if not isinstance(store, SharedStore):
        return _compose_here(session, plan, folder, prefix)
    from layerkit.layer import finished
    from layerkit.layer.zips import zip_path

    wanted = [
        finished.Wanted(
            name=layer.name,
            key=finished.layer_key(
                layer, plan.prepared, session.project.collisions, plan.opts.get(layer.name)
            ),
            path=zip_path(folder, prefix, layer),
            packages=tuple(sorted(layer.packages)),
        )
        for layer in plan.plan.layers
        if not layer.empty
    ]
    away = {layer.name for layer in plan.plan.layers if finished.worth_taking(layer, plan.prepared)}
    lacking = [one for one in wanted if one.name in away]
    taken = finished.take(store, lacking)
    lacking = [one for one in lacking if one.name not in taken]
    if session.cluster and lacking:
        _compose_away(session, session.cluster, plan, lacking)
        taken |= finished.take(store, lacking)
    elif taken:
        many = f"{len(taken)} {plural(len(taken), 'layer')}"
        session.talk(f"{plan.lock.target.key}: {many} taken from the shared store")
    composed = _compose_here(session, _made_whole(session, plan, taken), folder, prefix, taken)
    keys = {one.name: one.key for one in wanted}
    finished.offer(store, [(keys[one.name], one) for one in composed if one.name not in taken])
    return composed


def _compose_away(session: Session, cluster: Cluster, plan: Planned, wanted: Sequence[Wanted]) -> None:
    """Have the workers of a cluster compose layers; one that they lack something for is composed here."""
    from layerkit.orders import LayerOrder, compose_layer

    many = f"{len(wanted)} {plural(len(wanted), 'layer')}"
    session.talk(f"{plan.lock.target.key}: composing {many}")
    orders = [
        LayerOrder(
            name=one.name,
            key=one.key,
            packages=tuple((name, plan.prepared[name].key) for name in one.packages),
            collisions=tuple(sorted(session.project.collisions.items())),
            opt=plan.opts[one.name].key if one.name in plan.opts else None,
        )
        for one in wanted
    ]
    cluster.do(compose_layer, orders, session.talk)


def _made_whole(session: Session, plan: Planned, taken: Collection[str]) -> Planned:
    """Bring, or prepare, the wheels of which only tails are here, where layers have to be composed."""
    names = {name for layer in plan.plan.layers if layer.name not in taken for name in layer.packages}
    wanted = [one for one in plan.lock.packages if one.name in names and not plan.prepared[one.name].whole]
    if not wanted:
        return plan
    brought = prepare_wheels(session, plan.lock.target, wanted)
    return replace(plan, prepared={**plan.prepared, **brought})


def _compose_here(
    session: Session,
    plan: Planned,
    folder: Path,
    prefix: str,
    done: Mapping[str, BuiltLayer] = MappingProxyType({}),
) -> tuple[BuiltLayer, ...]:
    """Write the layers' zips but those done; a run that rotted in the store is made anew, each once."""
    from layerkit.layer.zips import compose_layers

    def again(name: str) -> None:
        if plan.again and plan.prepared[name].unpacked:
            plan.again()
        else:
            packages = [one for one in plan.lock.packages if one.name == name]
            prepare_wheels(session, plan.lock.target, packages)

    collisions = session.project.collisions
    opts = {name: opt.path for name, opt in plan.opts.items()}
    mends = _mends_of_wheels(session, plan.prepared, again) | _mends_of_opts(session, plan)
    return _mending(
        mends, lambda: compose_layers(plan.plan, plan.prepared, folder, prefix, collisions, opts, done)
    )


def _mending(mends: dict[Path, Callable[[], None]], work: Callable[[], T]) -> T:
    """Do the work; a run that it finds rotten in the store is made anew by what `mends` has for it, once."""
    from layerkit.archive import DamagedRunError

    while True:
        try:
            return work()
        except DamagedRunError as error:  # noqa: PERF203 - as often as a run is found rotten
            mend = mends.pop(error.path, None)
            if mend is None:
                raise
            mend()


def _mends_of_wheels(
    session: Session, prepared: Mapping[str, PreparedWheel], again: Callable[[str], None]
) -> dict[Path, Callable[[], None]]:
    """Return what replaces each prepared wheel in the store, by its path."""
    from layerkit import prepare as preparing

    def mend(name: str) -> None:
        session.talk(f"{name} was damaged in the store; preparing it again")
        session.store.evict(preparing.KIND, prepared[name].key, preparing.SUFFIX)
        again(name)

    return {wheel.path: partial(mend, name) for name, wheel in prepared.items()}


def _mends_of_opts(session: Session, plan: Planned) -> dict[Path, Callable[[], None]]:
    """Return what replaces in the store what each Dockerfile brought, by its path."""
    if not plan.opts:
        return {}
    from layerkit import dockerfiles

    target = plan.lock.target

    def mend(opt: OptLayer) -> None:
        session.talk(f"what {opt.dockerfile} made was damaged in the store; building it again")
        session.store.evict(dockerfiles.KIND, opt.key, dockerfiles.SUFFIX)
        _opts(session, target, [one for one in _asked(session, target) if one.layer == opt.layer])

    return {opt.path: partial(mend, opt) for opt in plan.opts.values()}


def _write_code(code: Sequence[FunctionCode], folder: Path, prefix: str) -> tuple[CodeZip, ...]:
    """Write the zips of the functions' own code."""
    if not code:
        return ()
    from layerkit.layer.function_code import write_code

    return tuple(write_code(one, folder, prefix) for one in code)
