"""Projects made of values, for tests of what comes after reading a project's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name

from layerkit.project import LayerSpec, Project, Stack
from layerkit.project.requirement import Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def requirement(text: str, **more: Any) -> Requirement:
    """Return a requirement as a reader of project files would make it."""
    parsed = Parsed(text)
    return Requirement(
        text=text,
        name=canonicalize_name(parsed.name),
        extras=tuple(sorted(parsed.extras)),
        marker=str(parsed.marker) if parsed.marker else None,
        origin=more.pop("origin", f"requirements.txt: {text}"),
        **more,
    )


def project(
    root: Path,
    layers: Mapping[str, Sequence[str | Requirement]],
    stacks: Mapping[str, Sequence[str]] | None = None,
    **more: Any,
) -> Project:
    """Return a project whose layers ask for the requirements given; all of them are one stack."""
    specs = tuple(
        LayerSpec(
            name=name,
            requirements=tuple(one if isinstance(one, Requirement) else requirement(one) for one in texts),
        )
        for name, texts in layers.items()
    )
    together = {"layers": tuple(layers)} if stacks is None else stacks
    return Project(
        name="demo",
        version="1.0",
        root=root,
        file=root / "pyproject.toml",
        layers=specs,
        stacks=tuple(Stack(name=name, layers=tuple(names)) for name, names in together.items()),
        runtimes=("python3.12",),
        output=root / "dist" / "layers",
        lock_folder=root / ".layerkit",
        **more,
    )
