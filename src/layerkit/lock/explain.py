"""Why no versions fit, in words a user can act on: uv's proof, and what wheels there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import ResolutionError
from layerkit.target import build_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerkit.lock import WheelRef
    from layerkit.lock.uv import UnsatisfiableError, Uv
    from layerkit.project import Project

_NO_WHEEL = re.compile(
    r"(?:all versions of )?([A-Za-z0-9][\w.-]*)((?:[<>=!~]=?[\w.*+!]+,?)*)"
    r" (?:has|have) no (?:usable wheels|wheels with)"
)
_MOST_PACKAGES, _MOST_TAGS = 3, 12
_LOCAL = re.compile(r"\+[a-z0-9.]+")


def explain(error: UnsatisfiableError, uv: Uv, project: Project) -> ResolutionError:
    """Return the error with what the index has for each package that lacks a fitting wheel."""
    missing = list(dict.fromkeys(_NO_WHEEL.findall(error.what)))[:_MOST_PACKAGES]
    asked = [line for name in _mentioned(error.what, project) for line in name]
    parts = [error.what, *(_missing_wheel(name, versions, uv, project) for name, versions in missing)]
    if asked:
        parts.append("asked for by:\n" + "\n".join(f"  {line}" for line in asked))
    fix = _ways_out(uv) if missing else "change one of the requirements, or build for another runtime"
    return ResolutionError("\n".join(parts), where=uv.target.key, fix=fix)


def _mentioned(text: str, project: Project) -> Iterable[list[str]]:
    """Yield, for each package that uv names, where the project asks for it."""
    words = set(re.findall(r"[a-z0-9][a-z0-9._-]*[a-z0-9]", text.lower()))
    for layer in project.layers:
        yield [
            f"{root.text} ({root.origin})"
            for root in layer.requirements
            if root.name in words and not root.path
        ]


def _missing_wheel(name: str, versions: str, uv: Uv, project: Project) -> str:
    """Say which wheels there are of a package that has none for the target."""
    arguments = project.index_arguments
    # uv says the range of a local version in a form that it does not take: <=2.13.0+cpu.
    found = uv.wheels_of(name + _LOCAL.sub("", versions), arguments)
    fitting = uv.newest_fitting(name, arguments)
    newest = (
        f"the newest version with a wheel that fits: {fitting}"
        if fitting
        else "no version has a wheel that fits"
    )
    if found is None:
        return f"{name}{versions}: there are no wheels at all, only source; {newest}"
    return f"{name} {found.version}: there are wheels for {_tags(found.wheels, uv.target.machine)}; {newest}"


def _tags(wheels: Iterable[WheelRef], machine: str) -> str:
    """Name the tags of the wheels, those for Linux on the target's machine before all others."""
    tags = ["-".join(wheel.filename.removesuffix(".whl").rsplit("-", 3)[1:]) for wheel in wheels]
    near = [tag for tag in tags if machine in tag and "linux" in tag] or tags
    more = f" and {len(tags) - _MOST_TAGS} more" if len(near) > _MOST_TAGS else ""
    return ", ".join(near[-_MOST_TAGS:]) + more


def _ways_out(uv: Uv) -> str:
    """Say what can be done about a missing wheel."""
    target = uv.target
    image = build_image(target.runtime) or "an image with compilers (build-images)"
    level = ".".join(map(str, target.glibc))
    takes = f"{target.runtime} has glibc {level} and takes wheels up to {target.tags()[0]}"
    if uv.may_build:
        return f"{takes}: ask for a version that has one; no source archive fits either"
    return (
        f"{takes}: ask for a version that has one, or let layerkit build it from source in {image}: that"
        " takes Docker (--engine auto, and an engine that runs)"
    )
