"""All wheels of a target, prepared: what for, what with, and only those that are not in the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.bytecode.finding import compiling, find
from layerkit.bytecode.in_image import Images
from layerkit.session import fetch_wheels
from layerkit.settings import Settings
from layerkit.slim import rules
from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.bytecode.compiler import Compiles
    from layerkit.cluster import Cluster
    from layerkit.lock import LockedPackage
    from layerkit.prepare import PreparedWheel
    from layerkit.session import Session
    from layerkit.target import Target


class Means(Struct, frozen=True, kw_only=True):
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
        start=compiling(found, images),
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

    def load() -> tuple[dict[str, PreparedWheel], list[LockedPackage]]:
        found = preparing.load_all(session.store, keys.values(), whole=whole)
        ready = {name: found[key] for name, key in keys.items() if key in found}
        return ready, [package for package in packages if package.name not in ready]

    prepared, missing = load()
    if missing:
        session.talk(f"{target.key}: preparing {len(missing)} {plural(len(missing), 'wheel')}")
    if missing and session.cluster:
        _prepare_away(session, session.cluster, target, missing, by)
        prepared, missing = load()  # what a bucket lost meanwhile is prepared here
    if missing:
        fetch_wheels(session, [package.wheel for package in missing])
        prepared.update(_prepare_all(session, target, missing, by))
    return prepared


def _prepare_all(
    session: Session, target: Target, packages: Sequence[LockedPackage], by: Means
) -> dict[str, PreparedWheel]:
    """Prepare wheels side by side, the largest first, in one workshop."""
    from concurrent.futures import ThreadPoolExecutor

    from layerkit.orders import prepared
    from layerkit.workshop import Workshop

    fetch = partial(fetch_wheels, session)
    largest = sorted(packages, key=lambda package: -(package.wheel.size or 0))
    with Workshop(by.start) as workshop, ThreadPoolExecutor(workshop.threads) as pool:
        done = pool.map(
            lambda package: prepared(
                package.wheel, target, by.settings, session.store, workshop, fetch=fetch, talk=session.talk
            ),
            largest,
        )
        return {package.name: wheel for package, wheel in zip(largest, done, strict=True)}


def _prepare_away(
    session: Session, cluster: Cluster, target: Target, packages: Sequence[LockedPackage], by: Means
) -> None:
    """Have the workers of a cluster prepare wheels; what lies on this machine alone is sent to them."""
    from layerkit import prepare as preparing
    from layerkit.orders import WheelOrder, open_to_all, prepare_wheel, source_key

    wheels = [package.wheel for package in packages]
    cluster.hand_over(wheels, partial(fetch_wheels, session))
    orders = [
        WheelOrder(
            wheel=open_to_all(package.wheel),
            key=preparing.key(package.wheel.sha256, target, package.name, by.settings),
            target=target,
            settings=by.settings,
            images=session.project.containers.images,
            engine=session.engines.rule,
            offline=session.offline,
            source=source_key(package.source.sdist, target) if package.source else None,
        )
        for package in packages
    ]
    cluster.do(prepare_wheel, orders, session.talk)


def _images(session: Session, target: Target) -> Images:
    """Return the way to the interpreter in the target's image."""
    return Images(
        engines=session.engines,
        target=target,
        named=dict(session.project.containers.images),
        talk=session.talk,
        offline=session.offline,
    )


def _without(target: Target) -> str:
    """Say what it costs that there is no interpreter of the target's version."""
    return (
        f"no bytecode: there is no Python {target.minor} here (`uv python install {target.minor}` gets one,"
        " an image of the runtime does, too);"
        " every cold start compiles what it imports, which then takes two to three times as long"
    )
