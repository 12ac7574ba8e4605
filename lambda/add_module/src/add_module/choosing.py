"""Which wheels: uv chooses for the target, as in every build of layerkit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from add_module.failures import NotFoundError
from layerkit.errors import ResolutionError
from layerkit.lock.explain import explain
from layerkit.lock.pick import pick
from layerkit.lock.sdk import SDK_CORE, choose_versions
from layerkit.lock.uv import Question, UnsatisfiableError, Uv
from layerkit.project import LayerSpec, OverLimit, Project
from layerkit.project.requirement import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from add_module.event import Request
    from layerkit.lock import LockedPackage
    from layerkit.metadata import Dependency
    from layerkit.project import SdkRule
    from layerkit.store import Store

ALONE = ("--no-deps",)


def project_of(request: Request, folder: Path, remote: str | None) -> Project:
    """Return what layerkit's steps call a project: the requirements, and what becomes of a large layer."""
    wanted = tuple(
        Requirement(text=text, name=name, origin="the event")
        for text, name in zip(request.requirements, request.names, strict=True)
    )
    return Project(
        name="add-module",
        version="1",
        root=folder,
        file=folder / "event.json",
        layers=(LayerSpec(name="layer", requirements=wanted),),
        runtimes=(request.target.runtime,),
        output=folder / "layers",
        lock_folder=folder / "locks",
        over_limit=OverLimit(mode="bundle", remote=remote),
    )


def choose(request: Request, project: Project, store: Store) -> tuple[LockedPackage, ...]:
    """Return the packages with the wheel of each that fits the target best; what was asked for comes first.

    Raises NotFoundError where there is no such package, no such version, or no wheel that fits.
    """
    uv = Uv(request.target, store, project.root)
    names = frozenset(request.names)
    try:
        if request.dependencies:
            asked = Question(requirements=request.requirements)
            sdk: SdkRule = "bundle" if names & set(SDK_CORE) else "auto"
            candidates = choose_versions(uv, asked, {}, names, sdk).candidates
        else:
            candidates = uv.resolve(Question(requirements=request.requirements, arguments=ALONE))
        packages = [pick(one, request.target) for one in candidates]
    except UnsatisfiableError as error:
        raise NotFoundError(str(explain(error, uv, project))) from error
    except ResolutionError as error:
        raise NotFoundError(str(error)) from error
    order = {name: place for place, name in enumerate(request.names)}
    return tuple(sorted(packages, key=lambda one: (order.get(one.name, len(order)), one.name)))


def choose_one(name: str, project: Project, request: Request, store: Store) -> LockedPackage:
    """Return one package of the index by itself. Raises NotFoundError."""
    uv = Uv(request.target, store, project.root)
    try:
        (found,) = uv.resolve(Question(requirements=(name,), arguments=ALONE))
        return pick(found, request.target)
    except ResolutionError as error:
        raise NotFoundError(str(error)) from error


def needed(names: Iterable[str], requires: Mapping[str, Iterable[Dependency]]) -> frozenset[str]:
    """Return what a layer has to hold for `names`: all they need but the SDK, which the runtime brings.

    What only the SDK needs comes with it. Who asks for the SDK itself, gets it.
    """
    found, waiting = set[str](), list(names)
    brought = set() if set(waiting) & set(SDK_CORE) else set(SDK_CORE)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in brought and name in requires:
            found.add(name)
            waiting += [need.name for need in requires[name]]
    return frozenset(found)
