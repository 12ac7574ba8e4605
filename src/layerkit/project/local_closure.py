"""Local folders that local folders ask for.

A sibling's wheel names what it needs by name alone, as far as its build backend does not know
where its sources lie (uv's), and a name alone would be looked for on an index. So whatever local
folder is reached becomes a requirement of the layer too, with its path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.project import pyproject
from layerkit.project.declared import read_entries
from layerkit.project.text_files import read_toml, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project.faults import Faults
    from layerkit.project.requirement import Requirement

__all__ = ["with_local_closure"]


def with_local_closure(
    requirements: Iterable[Requirement], root: Path, faults: Faults
) -> tuple[Requirement, ...]:
    """Return the requirements and the local folders and wheels that their folders ask for."""
    found = list(requirements)
    paths = {requirement.path for requirement in found}
    # The list grows while it is walked; a path is added once, so a circle of folders ends.
    for requirement in found:
        if requirement.path is None or requirement.path == root:
            continue
        for inner in _inner(requirement, root, faults):
            if inner.path is not None and inner.path not in paths:
                paths.add(inner.path)
                found.append(inner)
    return tuple(found)


def _inner(requirement: Requirement, root: Path, faults: Faults) -> Iterable[Requirement]:
    """Return what a folder's own pyproject.toml asks for that may lie on this machine."""
    if requirement.path is None or not (file := requirement.path / "pyproject.toml").is_file():
        return ()
    tables = read_toml(file, shown(file, root))
    declared = pyproject.declared(tables, file, root, faults)
    sections = [declared.main, *(declared.extras.get(extra, ()) for extra in requirement.extras)]
    entries = [entry for section in sections for entry in section if entry.direct]
    return read_entries(entries, faults)
