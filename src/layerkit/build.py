"""One target from a project to its zips: the steps in order, each a call to a floor below."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from layerkit import lock as locks
from layerkit import standing
from layerkit.errors import ResolutionError, UsageError
from layerkit.project import load
from layerkit.store import Store
from layerkit.target import maintained_runtimes, parse_arch, parse_runtime
from layerkit.target import target as make_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.check import Report
    from layerkit.download import Progress
    from layerkit.function_code import FunctionCode
    from layerkit.lock import Lock, LockedPackage, WheelRef
    from layerkit.manifest import Manifest
    from layerkit.plan import Plan
    from layerkit.prepare import PreparedWheel
    from layerkit.project import Overrides, Project
    from layerkit.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every step of a command works with.

    `project` was read without the pins of existing locks, which only a new resolution needs:
    `overrides` and `path` are kept to read it again with them.
    """

    project: Project
    targets: tuple[Target, ...]
    store: Store
    path: Path
    overrides: Overrides
    offline: bool
    talk: Callable[[str], None]
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The manifest of one target, where it lies, and whether anything had to be done."""

    manifest: Manifest
    path: Path
    unchanged: bool

    def paths(self) -> tuple[Path, ...]:
        """Return the zips on disk: the layers', then the functions' code."""
        return tuple(self.path.parent / one.file for one in self.manifest.zips())

    def as_json(self) -> dict[str, Any]:
        """Return the target's entry in what `build --json` prints."""
        return {
            "target": f"{self.manifest.target.runtime}-{self.manifest.target.arch}",
            "unchanged": self.unchanged,
            "manifest": str(self.path),
            "zips": [str(path) for path in self.paths()],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with what it was made from; `lock` includes the project's own wheel where a layer has it."""

    lock: Lock
    plan: Plan
    prepared: Mapping[str, PreparedWheel]
    code: tuple[FunctionCode, ...]


def open_session(
    path: Path,
    *,
    talk: Callable[[str], None],
    progress: Progress,
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    sdk_version: str | None = None,
    offline: bool = False,
    **overrides: Any,
) -> Session:
    """Read the project and name the targets; nothing is resolved yet.

    `runtimes` and `architectures` replace the project's; `all` means every one that AWS still
    lets its users update.
    """
    chosen: Overrides = {**overrides}  # type: ignore[typeddict-item]
    chosen["runtimes"] = _runtimes(runtimes) or None
    chosen["architectures"] = tuple(map(parse_arch, architectures)) or None
    without_pins: Overrides = {**chosen, "pins": False}
    project = load(path, **without_pins)
    targets = tuple(_targets(project, sdk_version or project.sdk_version, talk))
    return Session(
        project=project,
        targets=targets,
        store=Store.default(),
        path=path,
        overrides=chosen,
        offline=offline,
        talk=talk,
        progress=progress,
    )


def _runtimes(names: Sequence[str]) -> tuple[str, ...]:
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

    Raises ResolutionError when it would have to be made and `renew` forbids it.
    """
    if not upgrade and (lock := locks.current(session.project, target)):
        return lock
    if not renew:
        raise ResolutionError(
            "the lock is missing or answers other requirements",
            where=str(locks.lock_path(session.project, target)),
            fix="run `layerkit lock`",
        )
    from layerkit.resolve import resolve

    project = load(session.path, **session.overrides)
    session.talk(f"{target.key}: resolving")
    built = _built_folders(session, project, target)
    return resolve(
        project,
        target,
        session.store,
        lambda wheels: _fetch(session, wheels),
        built=built,
        upgrade=upgrade,
        offline=session.offline,
    )


def _built_folders(session: Session, project: Project, target: Target) -> dict[Path, Path]:
    """Build the local folders that the project requires, each once; return folder to wheel."""
    from layerkit.local import refuse_foreign

    folders = {root.path for layer in project.layers for root in layer.requirements if root.path}
    built = {folder: _build_folder(session, folder) for folder in sorted(folders) if folder.is_dir()}
    for wheel in built.values():
        refuse_foreign(wheel, target)
    return built


def _build_folder(session: Session, folder: Path) -> Path:
    """Build one local folder into a wheel beside the locks."""
    from layerkit.local import build_wheel
    from layerkit.local_paths import folder_digest

    kept = session.project.lock_folder / "wheels"
    return build_wheel(folder, folder_digest(folder), session.store, kept, offline=session.offline)


def _fetch(session: Session, wheels: Sequence[WheelRef]) -> None:
    """Have every wheel in the store."""
    missing = [wheel for wheel in wheels if not session.store.has("wheels", wheel.sha256, ".whl")]
    if missing:
        from layerkit.fetch import fetch

        fetch(missing, session.store, offline=session.offline, progress=session.progress)


def plan_target(session: Session, target: Target, *, locked: bool = False) -> Plan:
    """Return what would go into which layer, and why; writes no zip."""
    return _planned(session, lock_target(session, target, renew=not locked), _own(session, target)).plan


def build_target(session: Session, target: Target, *, locked: bool = False) -> Built:
    """Build the layers of one target, unless an earlier build still stands.

    Raises CheckFailedError before anything is written when a stack is not whole.
    """
    project = session.project
    lock = lock_target(session, target, renew=not locked)
    own = _own(session, target)
    code = _code(session)
    folder, prefix = _place(project, target)
    manifest, state = folder / f"{prefix}.json", project.lock_folder / f"{target.key}.state.json"
    key = standing.build_key(
        lock.digest, own.wheel.sha256 if own else "", _settings(project), *(one.digest() for one in code)
    )
    if standing.current(manifest, state, key):
        from layerkit.manifest import read

        return Built(manifest=read(manifest), path=manifest, unchanged=True)
    planned = _planned(session, lock, own, code)
    _check(session, planned).raise_for_errors()
    return _write(session, planned, folder, prefix, state, key)


def _place(project: Project, target: Target) -> tuple[Path, str]:
    """Return the folder of a target's zips, and what all their names begin with."""
    return project.output / target.key, f"{target.short}-{project.name}-{project.version}"


def _settings(project: Project) -> str:
    """Return the digest of what the project says about layers, beyond what the lock answers."""
    said = {
        "name": (project.name, project.version),
        "layers": [
            (layer.name, layer.project, [r.text for r in layer.requirements]) for layer in project.layers
        ],
        "functions": [(one.name, one.layers) for one in project.functions],
        "stacks": [(one.name, one.layers) for one in project.stacks],
        "layout": project.layout,
        "never": sorted(project.never),
        "collisions": sorted(project.collisions.items()),
        "alone": project.self_contained,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _own(session: Session, target: Target) -> LockedPackage | None:
    """Return the project's own package, built now, where a layer holds it."""
    project = session.project
    if all(layer.project == "none" for layer in project.layers):
        return None
    from layerkit.local import refuse_foreign
    from layerkit.lock import LockedPackage, WheelRef
    from layerkit.metadata import dependencies
    from layerkit.wheel import Wheel

    path = _build_folder(session, project.root)
    refuse_foreign(path, target)
    wheel = Wheel.open(path, path.name)
    ref = WheelRef(filename=path.name, sha256=wheel.sha256, size=path.stat().st_size, path=str(path))
    needs = tuple(need for need in dependencies(wheel.metadata, target) if not need.extra)
    return LockedPackage(name=wheel.name, version=wheel.version, wheel=ref, requires=needs)


def _code(session: Session) -> tuple[FunctionCode, ...]:
    """Return the files of every function that declares code."""
    project = session.project
    if not any(function.code for function in project.functions):
        return ()
    from layerkit.function_code import collect

    apart = (project.output, project.lock_folder)
    found = (collect(function, apart) for function in project.functions)
    return tuple(code for code in found if code is not None)


def _planned(
    session: Session, lock: Lock, own: LockedPackage | None, code: tuple[FunctionCode, ...] | None = None
) -> Planned:
    """Prepare what the layers hold, and plan them."""
    from layerkit.closure import closure, rules
    from layerkit.plan import plan

    if own is not None:
        others = (package for package in lock.packages if package.name != own.name)
        lock = replace(lock, packages=tuple(sorted((*others, own), key=lambda package: package.name)))
    code = _code(session) if code is None else code
    walking = rules(session.project, lock)
    names = {
        name
        for layer in session.project.layers
        for name in closure(layer, session.project, lock, walking).needed
    }
    prepared = _prepare(session, lock.target, [package for package in lock.packages if package.name in names])
    sizes = {one.function: one.size for one in code}
    return Planned(lock=lock, plan=plan(session.project, lock, prepared, sizes), prepared=prepared, code=code)


def _prepare(session: Session, target: Target, packages: Sequence[LockedPackage]) -> dict[str, PreparedWheel]:
    """Return every package prepared, those already in the store by reading their ends only."""
    from layerkit import prepare as preparing

    layout, store = session.project.layout, session.store
    prepared: dict[str, PreparedWheel] = {}
    missing: list[LockedPackage] = []
    for package in packages:
        found = preparing.load(store, preparing.key(package.wheel.sha256, target, layout))
        if found is None:
            missing.append(package)
        else:
            prepared[package.name] = found
    if missing:
        _fetch(session, [package.wheel for package in missing])
        session.talk(f"{target.key}: preparing {len(missing)} wheels")
        prepared.update(_prepare_all(session, target, missing))
    return prepared


def _prepare_all(
    session: Session, target: Target, packages: Sequence[LockedPackage]
) -> dict[str, PreparedWheel]:
    """Prepare wheels on all cores, the largest first; inflating and hashing let other threads run."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from layerkit.prepare import prepare

    layout, store = session.project.layout, session.store

    def one(package: LockedPackage) -> PreparedWheel:
        path = store.path("wheels", package.wheel.sha256, ".whl")
        return prepare(path, package.wheel.filename, package.wheel.sha256, target, layout, store)

    largest = sorted(packages, key=lambda package: -(package.wheel.size or 0))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        done = pool.map(one, largest)
        return {package.name: wheel for package, wheel in zip(largest, done, strict=True)}


def _check(session: Session, planned: Planned) -> Report:
    """Check every stack as it would lie on Lambda, before anything is written."""
    from layerkit.check import check_plan

    return check_plan(planned.plan, planned.lock, session.project.never)


def _write(session: Session, planned: Planned, folder: Path, prefix: str, state: Path, key: str) -> Built:
    """Write the zips and, when all are in place, the manifest; then remember that they stand."""
    from layerkit import manifest as manifests
    from layerkit.describe import describe
    from layerkit.function_code import write_code
    from layerkit.layer import compose_layers

    layers = compose_layers(planned.plan, planned.prepared, folder, prefix, session.project.collisions)
    code = tuple(write_code(one, folder, prefix) for one in planned.code)
    manifest = describe(session.project, planned.lock, planned.plan, planned.prepared, layers, code)
    path = folder / f"{prefix}.json"
    manifests.write(manifest, path)
    standing.remember(state, key, (path, *(folder / one.file for one in manifest.zips())))
    return Built(manifest=manifest, path=path, unchanged=False)


def tree_target(session: Session, target: Target, package: str | None) -> dict[str, Any]:
    """Return the tree of what needs what for one target, or upside down from `package`."""
    from layerkit.tree import tree_of, wheel_size

    lock = lock_target(session, target)
    prepared = _planned(session, lock, _own(session, target)).prepared
    others = [package.wheel for package in lock.packages if package.name not in prepared]
    _fetch(session, others)
    sizes = {name: wheel.unzipped for name, wheel in prepared.items()}
    for one in lock.packages:
        if one.name not in sizes:
            sizes[one.name] = wheel_size(session.store.path("wheels", one.wheel.sha256, ".whl"))
    origins = {root.name: root.origin for layer in session.project.layers for root in layer.requirements}
    return tree_of(lock, sizes, origins, package)


def check_built(session: Session, target: Target) -> list[Report]:
    """Open the zips of the target's last build again and check every stack; one report per stack."""
    from layerkit.check import brought, check_zips
    from layerkit.manifest import read

    folder, prefix = _place(session.project, target)
    manifest = read(folder / f"{prefix}.json")
    lock = locks.current(session.project, target)
    absent = {one.name: one.reason for one in manifest.left_out}
    files = {layer.name: folder / layer.zip.file for layer in manifest.layers}
    return [
        check_zips(
            [files[name] for name in stack.layers],
            target,
            brought(target, lock),
            function=folder / stack.code.file if stack.code else None,
            absent=absent,
        )
        for stack in manifest.stacks
    ]


def check_given(
    zips: Sequence[Path],
    code: Path | None,
    runtimes: Sequence[str],
    architectures: Sequence[str],
    sdk_version: str | None,
) -> list[Report]:
    """Check zips from anywhere as the layers of one function, for every runtime that is named."""
    from layerkit.check import brought, check_zips

    if not runtimes:
        raise UsageError("nothing says which runtime the zips are for", fix="add it: --runtime py312")
    targets = [
        make_target(runtime, arch, sdk_version)
        for runtime in _runtimes(runtimes)
        for arch in (architectures or ("x86_64",))
    ]
    return [check_zips(zips, target, brought(target), function=code) for target in targets]
