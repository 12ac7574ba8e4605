"""A second look: finished zips opened again, and the trees of what needs what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerkit import lock as locks
from layerkit.build import held_wheels, read_built
from layerkit.errors import UsageError
from layerkit.lock.decoder import decoder
from layerkit.lock.sdk import SDK_CORE
from layerkit.session import chosen_runtimes, fetch_wheels, lock_target, own_package
from layerkit.target import target as make_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.check import Installed
    from layerkit.check.findings import Report
    from layerkit.check.inside import Inside, StackFiles
    from layerkit.container.stage import Limits
    from layerkit.engines import Engines
    from layerkit.project import Project
    from layerkit.session import Session
    from layerkit.target import Target


def check_built(session: Session, target: Target, inside: Inside | None = None) -> list[tuple[str, Report]]:
    """Open the zips of the target's last build again and check every stack; return (stack, report) pairs.

    With `inside`, the runtime's image is asked as well.
    """
    from layerkit.check import brought
    from layerkit.check.inside import StackFiles

    path, manifest = read_built(session.project, target)
    lock = locks.current(session.project, target)
    absent = {one.name: one.reason for one in manifest.left_out}
    files = {layer.name: path.parent / layer.zip.file for layer in manifest.layers}
    stacks = [
        StackFiles(
            name=stack.name,
            layers=[files[name] for name in stack.layers],
            code=path.parent / stack.code.file if stack.code else None,
            absent=absent,
        )
        for stack in manifest.stacks
    ]
    return _checked(stacks, target, brought(target, lock), inside)


def check_given(
    zips: Sequence[Path],
    code: Path | None,
    runtimes: Sequence[str],
    architectures: Sequence[str],
    sdk_version: str | None,
    inside: Inside | None = None,
) -> list[tuple[str, Report]]:
    """Check zips from anywhere as the layers of one function, for every runtime that is named.

    With `inside`, the runtime's image is asked as well.
    """
    from layerkit.check import brought
    from layerkit.check.inside import StackFiles

    if not runtimes:
        raise UsageError("nothing says which runtime the zips are for", fix="add it: --runtime py312")
    targets = [
        make_target(runtime, arch, sdk_version)
        for runtime in chosen_runtimes(runtimes)
        for arch in (architectures or ("x86_64",))
    ]
    stack = StackFiles(name="given", layers=zips, code=code)
    return [pair for target in targets for pair in _checked([stack], target, brought(target), inside)]


def _checked(
    stacks: Sequence[StackFiles], target: Target, runtime: Sequence[Installed], inside: Inside | None
) -> list[tuple[str, Report]]:
    """Check stacks by their zips, and inside the image where that is asked for."""
    from layerkit.check import check_zips
    from layerkit.check.inside import look_inside

    reports = [
        check_zips(one.layers, target, runtime, function=one.code, absent=one.absent) for one in stacks
    ]
    pairs = zip(stacks, reports, strict=True)
    return look_inside(inside, target, pairs) if inside else [(one.name, found) for one, found in pairs]


def inside_of(
    engines: Engines,
    limits: Limits,
    talk: Callable[[str], None],
    *,
    project: Project | None = None,
    offline: bool = False,
) -> Inside:
    """Return how to look inside; a project adds its images, its indexes and the modules that may fail."""
    from layerkit.check.inside import Inside

    return Inside(
        engines=engines,
        images=dict(project.containers.images) if project else {},
        limits=limits,
        may_fail=project.import_may_fail if project else frozenset(),
        pip_wheel=lambda target: _pip_wheel(target, project, offline=offline),
        talk=talk,
        offline=offline,
    )


def _pip_wheel(target: Target, project: Project | None, *, offline: bool) -> tuple[Path, str]:
    """Return path and name of the newest wheel of pip that the target's Python takes."""
    from layerkit.fetch import fetch
    from layerkit.fetch.credentials import Credentials
    from layerkit.lock.pick import pick
    from layerkit.lock.uv import Question, Uv
    from layerkit.store import Store

    folder, arguments = (project.root, project.index_arguments) if project else (Path.cwd(), ())
    store = Store.default()
    (found,) = Uv(target, store, folder, offline=offline).resolve(
        Question(requirements=("pip",), arguments=arguments)
    )
    wheel = pick(found, target).wheel
    fetch([wheel], store, credentials=Credentials.load(folder, arguments=arguments), offline=offline)
    return store.path("wheels", wheel.sha256, ".whl"), wheel.filename


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
