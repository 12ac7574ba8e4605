"""A function of a project: the layers of its last build, its code as it is now."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.built import read_built
from layerkit.errors import UsageError
from layerkit.project.specs import FunctionSpec
from layerkit.target import parse_arch

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.session import Session
    from layerkit.target import Target


def chosen(session: Session) -> Target:
    """Return the one target that is meant: of several architectures, this machine's.

    Raises UsageError where the project has several runtimes.
    """
    here = parse_arch(platform.machine())
    targets = [one for one in session.targets if one.arch == here] or list(session.targets)
    if len(targets) > 1:
        known = ", ".join(one.runtime for one in targets)
        raise UsageError(f"the project has several runtimes: {known}", fix="choose one: --runtime NAME")
    return targets[0]


def of_project(
    session: Session, target: Target, name: str | None, code: Path | None
) -> tuple[str, list[Path], FunctionSpec]:
    """Return a function's name, the zips of its layers, and its code, in whose place `code` may stand.

    Raises ConfigError where nothing was built, UsageError for a name that the build does not have.
    """
    path, manifest = read_built(session.project, target)
    known = {stack.name: stack for stack in manifest.stacks}
    if name is None and len(known) == 1:
        (name,) = known
    if name not in known:
        said = (
            f"there is no function {name!r} in the last build" if name else "the build has several functions"
        )
        raise UsageError(said, where=str(path), fix=f"--function with one of: {', '.join(known)}")
    files = {layer.name: path.parent / layer.zip.file for layer in manifest.layers}
    layers = [files[layer] for layer in known[name].layers]
    spec = next((one for one in session.project.functions if one.name == name), FunctionSpec(name=name))
    if code is not None:
        spec = FunctionSpec(name=name, code=code)
    if spec.code is None:
        fix = "name its folder: --code PATH, or `code` in [tool.layerkit.functions]"
        raise UsageError(f"nothing says where the code of {name} is", fix=fix)
    return name, layers, replace(spec, layers=())
