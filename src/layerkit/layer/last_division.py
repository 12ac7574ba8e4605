"""Which package the planner put into which layer, kept beside the locks for the next time.

It is worth committing, as the locks are: with it, every machine comes to the same layers, and a package that
changes stays where it was.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from layerkit.errors import ConfigError
from layerkit.output import remove, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerkit.plan import Plan
    from layerkit.project import Project

SCHEMA = "layerkit/division/1"


def path_of(project: Project, target_key: str) -> Path:
    """Return where the division of a target lies."""
    return project.lock_folder / f"{target_key}.division.json"


def is_divided(project: Project) -> bool:
    """Tell whether the planner makes layers of a project."""
    return any(layer.divided for layer in project.layers)


def read(project: Project, target_key: str) -> tuple[Mapping[str, frozenset[str]], str]:
    """Return the packages of each layer that the planner made last, and the text they were read from.

    Nothing where there was no plan yet, or the project declares its layers. Raises ConfigError for a file
    that is something else.
    """
    path = path_of(project, target_key)
    if not is_divided(project) or not path.exists():
        return {}, ""
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ValueError(document["schema"])  # noqa: TRY301 - all that is wrong ends in one error
        return {str(name): frozenset(map(str, held)) for name, held in document["layers"].items()}, text
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"this is not a division of layers that layerkit wrote ({type(error).__name__}: {error})",
            where=str(path),
            fix="remove it; the next build writes a new one, and may put packages elsewhere",
        ) from error


def write(project: Project, plan: Plan) -> str:
    """Keep the division of a plan, and return the text of it; "" where the project declares its layers."""
    path = path_of(project, plan.target_key)
    if not is_divided(project):
        remove(path)
        return ""
    declared = {layer.name for layer in project.layers if not layer.divided}
    made = {layer.name: list(layer.packages) for layer in plan.layers if layer.name not in declared}
    text = json.dumps({"schema": SCHEMA, "layers": dict(sorted(made.items()))}, indent=2) + "\n"
    write_bytes(path, text.encode())
    return text
