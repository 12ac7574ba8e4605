"""A second look: finished zips opened again, and the trees of what needs what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerkit import lock as locks
from layerkit.build.planned import held_wheels
from layerkit.built import read_built
from layerkit.errors import UsageError
from layerkit.lock.decoder import decoder
from layerkit.lock.sdk import SDK_CORE
from layerkit.session import chosen_runtimes, fetch_wheels, lock_target, own_package
from layerkit.target import target as make_target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerkit.check.findings import Report
    from layerkit.check.inside import Inside, Look
    from layerkit.session import Session
    from layerkit.target import Target


def check_built(
    session: Session, target: Target, inside: Inside | Look | None = None
) -> list[tuple[str, Report]]:
    """Open the zips of the target's last build again and check every stack; return (stack, report) pairs.

    With `inside`, the modules are imported as well: in the runtime's image, or another way.
    """
    from layerkit.check import brought
    from layerkit.check.inside import check_stacks, stack_files

    path, manifest = read_built(session.project, target)
    lock = locks.current(session.project, target)
    return check_stacks(stack_files(manifest, path.parent), target, brought(target, lock), inside)


def check_targets(
    runtimes: Sequence[str], architectures: Sequence[str], sdk_version: str | None
) -> list[Target]:
    """Return for what zips from anywhere are, each runtime that is named on each architecture."""
    if not runtimes:
        raise UsageError("nothing says which runtime the zips are for", fix="add it: --runtime py312")
    return [
        make_target(runtime, arch, sdk_version)
        for runtime in chosen_runtimes(runtimes)
        for arch in (architectures or ("x86_64",))
    ]


def check_given(
    zips: Sequence[Path], code: Path | None, targets: Sequence[Target], inside: Inside | Look | None = None
) -> list[tuple[str, Report]]:
    """Check zips from anywhere as the layers of one function, for every target.

    With `inside`, the modules are imported as well: in the runtime's image, or another way.
    """
    from layerkit.check import brought
    from layerkit.check.inside import StackFiles, check_stacks

    stack = StackFiles(name="given", layers=zips, code=code)
    return [pair for target in targets for pair in check_stacks([stack], target, brought(target), inside)]


def bills(session: Session, target: Target) -> list[Path]:
    """Write a bill of materials for each layer of the target's last build; return where they are."""
    from layerkit.sbom import write_bills

    path, manifest = read_built(session.project, target)
    lock = locks.current(session.project, target)
    # A lock that has moved on says nothing of what was built.
    built_from = lock if lock and lock.digest == manifest.lock.digest else None
    return write_bills(manifest, built_from, path.parent)


def tree_target(session: Session, target: Target, package: str | None) -> dict[str, Any]:
    """Return the tree of what needs what for one target, or upside down from `package`."""
    from layerkit.tree import tree_of, wheel_size

    lock = lock_target(session, target)
    _, prepared = held_wheels(session, lock, own_package(session, target))
    fetch_wheels(session, [one.wheel for one in lock.packages if one.name not in prepared])
    sizes = {name: wheel.unzipped for name, wheel in prepared.items()}
    for one in lock.packages:
        if one.name not in sizes:
            sizes[one.name] = wheel_size(session.store.path("wheels", one.wheel.sha256, ".whl"))
    origins = {root.name: root.origin for root in locks.roots(session.project)}
    if lock.sdk.mode == "runtime":
        # They are in every lock, so that all else fits them; most projects never ask.
        origins = dict.fromkeys(SDK_CORE, "the runtime brings it") | origins
    if wanted := decoder(session.project, target):
        origins.setdefault(wanted, "decodes a bundle above the limit")
    return tree_of(lock, sizes, origins, package)
