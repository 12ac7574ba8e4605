"""All wheels of a target, prepared: what for, what with, and only those that are not in the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from layerkit.bytecode.finding import find
from layerkit.bytecode.in_image import Images
from layerkit.session import fetch_wheels
from layerkit.settings import Settings
from layerkit.slim import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.bytecode.compiler import Compiler, Compiles
    from layerkit.lock import LockedPackage
    from layerkit.prepare import PreparedWheel
    from layerkit.session import Session
    from layerkit.target import Target
    from layerkit.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How the wheels of a target are prepared, and how a compiler is started, if there is one.

    `notes` are what has to be said of it.
    """

    settings: Settings
    start: Callable[[], Compiles] | None = None
    notes: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """Return who compiles bytecode, which the project's own files do not tell."""
        found = self.settings.interpreter
        return f"{found.tag} {found.version}" if found else ""


def means(session: Session, target: Target) -> Means:
    """Return how the wheels of a target are prepared; the interpreter is looked for when it is not known."""
    project = session.project
    settings = Settings(
        layout=project.layout, rules=rules(project.slim, project.aws_services), strip=project.strip
    )
    if project.bytecode == "none":
        return Means(settings=settings)
    images = _images(session, target)
    found = find(target.minor, session.store, images=images, offline=session.offline)
    if found is None:
        return Means(settings=settings, notes=(_without(target),))
    return Means(
        settings=replace(settings, bytecode=project.bytecode, interpreter=found.interpreter),
        start=partial(_start, found.path) if found.path else partial(images.start, found.interpreter),
    )


def prepare_wheels(
    session: Session, target: Target, packages: Sequence[LockedPackage], *, whole: bool = True
) -> dict[str, PreparedWheel]:
    """Return every package prepared, those already in the store by reading their ends only.

    Unless they have to be `whole`, only the ends are brought of those that other machines prepared.
    """
    from layerkit import prepare as preparing

    by = means(session, target)
    keys = {
        package.name: preparing.key(package.wheel.sha256, target, package.name, by.settings)
        for package in packages
    }
    found = preparing.load_all(session.store, keys.values(), whole=whole)
    prepared = {name: found[key] for name, key in keys.items() if key in found}
    missing = [package for package in packages if package.name not in prepared]
    if missing:
        fetch_wheels(session, [package.wheel for package in missing])
        session.talk(f"{target.key}: preparing {len(missing)} {'wheel' if len(missing) == 1 else 'wheels'}")
        prepared.update(_prepare_all(session, target, missing, by))
    return prepared


def _prepare_all(
    session: Session, target: Target, packages: Sequence[LockedPackage], by: Means
) -> dict[str, PreparedWheel]:
    """Prepare wheels side by side, the largest first, in one workshop."""
    from concurrent.futures import ThreadPoolExecutor

    from layerkit.workshop import Workshop

    largest = sorted(packages, key=lambda package: -(package.wheel.size or 0))
    with Workshop(by.start) as workshop, ThreadPoolExecutor(workshop.threads) as pool:
        done = pool.map(lambda package: _prepare_one(session, target, package, by, workshop), largest)
        return {package.name: wheel for package, wheel in zip(largest, done, strict=True)}


def _prepare_one(
    session: Session, target: Target, package: LockedPackage, by: Means, workshop: Workshop
) -> PreparedWheel:
    """Prepare a wheel; one that rotted in the store is taken out of it and fetched once more."""
    from layerkit.errors import WheelError
    from layerkit.prepare import prepare
    from layerkit.wheel import file_sha256

    store, wheel = session.store, package.wheel
    path = store.path("wheels", wheel.sha256, ".whl")
    make = partial(prepare, path, wheel.filename, wheel.sha256, target, store, by.settings, workshop=workshop)
    try:
        return make()
    except WheelError:
        if file_sha256(path) == wheel.sha256:
            raise
    session.talk(f"{wheel.filename} was damaged in the store; fetching it again")
    store.evict("wheels", wheel.sha256, ".whl")
    fetch_wheels(session, [wheel])
    return make()


def _images(session: Session, target: Target) -> Images:
    """Return the way to the interpreter in the target's image."""
    return Images(
        engines=session.engines,
        target=target,
        named=dict(session.project.containers.images),
        talk=session.talk,
        offline=session.offline,
    )


def _start(path: str) -> Compiler:
    from layerkit.bytecode.compiler import Compiler

    return Compiler([path])


def _without(target: Target) -> str:
    """Say what it costs that there is no interpreter of the target's version."""
    return (
        f"no bytecode: there is no Python {target.minor} here (`uv python install {target.minor}` gets one,"
        " an image of the runtime does, too);"
        " every cold start compiles what it imports, which then takes two to three times as long"
    )
