"""Runs that rotted in the store: found while they are copied into layers, and made anew, each once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from layerkit.build.brought import asked, opts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from layerkit.dockerfiles import OptLayer
    from layerkit.prepare import PreparedWheel
    from layerkit.session import Session
    from layerkit.target import Target

T = TypeVar("T")


def mending(mends: dict[Path, Callable[[], None]], work: Callable[[], T]) -> T:
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


def mends_of_wheels(
    session: Session, prepared: Mapping[str, PreparedWheel], again: Callable[[str], None]
) -> dict[Path, Callable[[], None]]:
    """Return what replaces each prepared wheel in the store, by its path."""
    from layerkit import prepare as preparing

    def mend(name: str) -> None:
        session.talk(f"{name} was damaged in the store; preparing it again")
        session.store.evict(preparing.KIND, prepared[name].key, preparing.SUFFIX)
        again(name)

    return {wheel.path: partial(mend, name) for name, wheel in prepared.items()}


def mends_of_opts(
    session: Session, target: Target, found: Mapping[str, OptLayer]
) -> dict[Path, Callable[[], None]]:
    """Return what replaces in the store what each Dockerfile brought, by its path."""
    if not found:
        return {}
    from layerkit import dockerfiles

    def mend(opt: OptLayer) -> None:
        session.talk(f"what {opt.dockerfile} made was damaged in the store; building it again")
        session.store.evict(dockerfiles.KIND, opt.key, dockerfiles.SUFFIX)
        opts(session, target, [one for one in asked(session, target) if one.layer == opt.layer])

    return {opt.path: partial(mend, opt) for opt in found.values()}
