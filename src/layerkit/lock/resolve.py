"""From what a project asks to a lock: uv chooses, hashes are compared, every METADATA is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit import lock as locks
from layerkit.lock import inputs_digest, lock_path, write
from layerkit.lock.decoder import decoder
from layerkit.lock.pick import attested, pick, sized, verify_hashes
from layerkit.lock.reasons import forced_by, older
from layerkit.lock.sdk import choose_versions
from layerkit.lock.uv import Question, UnsatisfiableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from layerkit.lock import Lock, LockedPackage, WheelRef
    from layerkit.lock.places import Inside
    from layerkit.lock.sdk import Resolution
    from layerkit.lock.uv import Uv
    from layerkit.metadata import Dependency
    from layerkit.project import Pin, Project, Requirement
    from layerkit.store import Store
    from layerkit.target import Target


def resolve(
    project: Project,
    target: Target,
    uv: Uv,
    store: Store,
    fetch: Callable[[Sequence[WheelRef]], None],
    *,
    built: Mapping[Path, Path],
    inside: Inside | None = None,
    upgrade: Sequence[str] = (),
) -> Lock:
    """Resolve the project for the target, fetch the wheels, and write the lock.

    `built` says which wheel each local folder was built into, `inside` in which image uv asks the
    interpreter. `upgrade` names packages whose locked versions may move (`*`: all). Versions of an
    earlier lock are kept where they fit. Raises ResolutionError, which for a missing wheel names the
    tags that exist.
    """
    on = uv.target
    roots = tuple(root for root in locks.roots(project) if _applies(root.marker, on))
    pins = _pins(project, on)
    question = _question(project, target, roots, pins, built, upgrade)
    names = frozenset(root.name for root in roots)
    try:
        resolution = _choose(uv, question, pins, names, project)
    except UnsatisfiableError as error:
        from layerkit.lock.explain import explain

        raise explain(error, uv, project) from error
    packages = tuple(sized(pick(candidate, on)) for candidate in resolution.candidates)
    verify_hashes(packages, roots, pins, project.pins_source)
    packages = attested(packages, pins)
    fetch([package.wheel for package in packages])
    packages = _with_requirements(packages, roots, on, store)
    bounds = (*roots, *(one for one in project.constraints if _applies(one.marker, on)))
    decision = forced_by(resolution.sdk, packages, bounds, on)
    notes = (
        *resolution.notes,
        *older(uv, project.index_arguments, packages, bounds, pins),
        *_never_built(project, packages),
    )
    # Whether the lock is current must be known without the image: the facts that are asked by stand in it.
    path, inputs = lock_path(project, target), inputs_digest(project, target)
    if inside is None:
        return write(path, target, packages, decision, inputs, notes)
    return write(path, target, packages, decision, inputs, (*notes, *inside.notes), image=inside.image)


def _never_built(project: Project, packages: Sequence[LockedPackage]) -> Iterator[str]:
    """Tell the names in `build` that nothing here goes by: they may be misspelt."""
    known = {*(package.name for package in packages), project.distribution}
    for name in project.containers.build:
        if name not in known:
            yield f"`build` names {name}, which is not among the packages of the lock"


def _choose(
    uv: Uv, question: Question, pins: Mapping[str, Pin], names: frozenset[str], project: Project
) -> Resolution:
    """Return the versions, with a decoder for a bundle above the limit where one is needed and fits."""
    wanted = decoder(project, uv.target)
    if wanted is None:
        return choose_versions(uv, question, pins, names, project.sdk)
    try:
        asked = replace(question, requirements=(*question.requirements, wanted))
        return choose_versions(uv, asked, pins, names, project.sdk)
    except UnsatisfiableError:
        found = choose_versions(uv, question, pins, names, project.sdk)
        note = f"no {wanted} is to be had: a bundle is compressed by zlib, which starts later"
        return replace(found, notes=(*found.notes, note))


def _question(
    project: Project,
    target: Target,
    roots: Sequence[Requirement],
    pins: Mapping[str, Pin],
    built: Mapping[Path, Path],
    upgrade: Sequence[str],
) -> Question:
    """Put what the project asks for into uv's terms."""
    local = tuple(_line(root, built) for root in roots if root.path)
    return Question(
        requirements=tuple(dict.fromkeys(_line(root, built) for root in roots)),
        constraints=(
            *(f"{pin.name}=={pin.version}" for pin in pins.values()),
            *(constraint.text for constraint in project.constraints),
        ),
        # A local folder may be asked for by another one too, as a folder: the wheel stands for both.
        overrides=(*local, *(override.text for override in project.overrides)),
        arguments=(*project.index_arguments, *_upgrades(upgrade)),
        preferences=_earlier(lock_path(project, target)),
    )


def _line(root: Requirement, built: Mapping[Path, Path]) -> str:
    """Return a requirement as uv takes it; a local folder is the wheel it was built into."""
    if root.path is None:
        return root.text
    wheel = built.get(root.path, root.path)
    extras = f"[{','.join(root.extras)}]" if root.extras else ""
    marker = f" ; {root.marker}" if root.marker else ""
    return f"{root.name}{extras} @ {wheel.as_uri()}{marker}"


def _upgrades(names: Sequence[str]) -> tuple[str, ...]:
    """Return uv's arguments for the packages whose locked versions may move."""
    if "*" in names:
        return ("--upgrade",)
    return tuple(part for name in names for part in ("--upgrade-package", name))


def _earlier(path: Path) -> str | None:
    """Return the text of an earlier lock, whose versions are preferred."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _pins(project: Project, target: Target) -> dict[str, Pin]:
    """Return the existing lock's pins that apply to the target: the first of each name that does."""
    pins: dict[str, Pin] = {}
    for pin in project.pins:
        if pin.name not in pins and _applies(pin.marker, target):
            pins[pin.name] = pin
    return pins


def _applies(marker: str | None, target: Target) -> bool:
    """Tell whether a marker is true on the target."""
    if not marker:
        return True
    from packaging.markers import Marker

    return Marker(marker).evaluate({**target.markers(), "extra": ""})


def _with_requirements(
    packages: Sequence[LockedPackage], roots: Iterable[Requirement], target: Target, store: Store
) -> tuple[LockedPackage, ...]:
    """Read each wheel's METADATA and keep what it requires, extras only where somebody asks for them."""
    from layerkit.metadata import dependencies
    from layerkit.wheel import Wheel

    everything: dict[str, tuple[Dependency, ...]] = {}
    for package in packages:
        path = store.path("wheels", package.wheel.sha256, ".whl")
        wheel = Wheel.open(path, package.wheel.filename, package.wheel.sha256)
        everything[package.name] = dependencies(wheel.metadata, target)
    active = _active_extras(everything, roots)
    return tuple(
        replace(
            package,
            requires=tuple(need for need in everything[package.name] if (package.name, need.extra) in active),
        )
        for package in packages
    )


def _active_extras(
    everything: Mapping[str, Iterable[Dependency]], roots: Iterable[Requirement]
) -> frozenset[tuple[str, str]]:
    """Return the (package, extra) pairs that are reached from the roots; every package has extra ""."""
    seen: set[tuple[str, str]] = set()
    waiting = [(root.name, extra) for root in roots for extra in root.extras]
    waiting += [(name, "") for name in everything]
    while waiting:
        pair = waiting.pop()
        if pair not in seen:
            seen.add(pair)
            needs = (need for need in everything.get(pair[0], ()) if need.extra == pair[1])
            waiting += [(need.name, wanted) for need in needs for wanted in need.extras]
    return frozenset(seen)
