"""Which wheels: uv chooses for the target, as in every build of layerkit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from add_module.failures import NotFoundError, said
from layerkit.errors import ResolutionError
from layerkit.lock.explain import explain
from layerkit.lock.pick import pick
from layerkit.lock.sdk import SDK_CORE, choose_versions
from layerkit.lock.uv import Question, UnsatisfiableError, Uv
from layerkit.project import LayerSpec, OverLimit, Project
from layerkit.project.requirement import Requirement

if TYPE_CHECKING:
    from pathlib import Path

    from add_module.event import Request
    from layerkit.lock import LockedPackage
    from layerkit.lock.uv import Candidate
    from layerkit.project import SdkRule
    from layerkit.store import Store

ALONE = ("--no-deps",)
# In the place of whatever is required of the SDK: nothing, as the marker is never true.
_NO_SDK = tuple(f"{name} ; python_version < '1'" for name in SDK_CORE)


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
    try:
        candidates = _with_dependencies(request, uv) if request.dependencies else _alone(request, uv)
        packages = [pick(one, request.target) for one in candidates]
    except UnsatisfiableError as error:
        raise NotFoundError(said(explain(error, uv, project))) from error
    except ResolutionError as error:
        raise NotFoundError(said(error)) from error
    order = {name: place for place, name in enumerate(request.names)}
    return tuple(sorted(packages, key=lambda one: (order.get(one.name, len(order)), one.name)))


def _alone(request: Request, uv: Uv) -> tuple[Candidate, ...]:
    """Return what was asked for and nothing that it needs."""
    return uv.resolve(Question(requirements=request.requirements, arguments=ALONE))


def _with_dependencies(request: Request, uv: Uv) -> tuple[Candidate, ...]:
    """Return all that is needed, less what the runtime brings: the SDK, and what nothing else needs.

    Where the runtime's SDK does not fit, or somebody asks for one, the whole set comes along.
    """
    asked, names = Question(requirements=request.requirements), frozenset(request.names)
    sdk: SdkRule = "bundle" if names & set(SDK_CORE) else "auto"
    found = choose_versions(uv, asked, {}, names, sdk)
    if found.sdk.mode != "runtime":
        return found.candidates
    versions = tuple(f"{one.name}=={one.version}" for one in found.candidates)
    return uv.resolve(replace(asked, constraints=versions, overrides=_NO_SDK))


def choose_one(name: str, project: Project, request: Request, store: Store) -> LockedPackage:
    """Return one package of the index by itself. Raises NotFoundError."""
    uv = Uv(request.target, store, project.root)
    try:
        (found,) = uv.resolve(Question(requirements=(name,), arguments=ALONE))
        return pick(found, request.target)
    except ResolutionError as error:
        raise NotFoundError(said(error)) from error
