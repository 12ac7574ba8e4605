"""A project as JSON and back, so that a caller may keep one whose files did not change.

That is worth it for Poetry's tables: poetry-core reads them in about 70 ms, JSON is read in one.
The caller's key has to name the path, the overrides and layerkit's version; `is_current` answers
for the files.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError
from layerkit.project import (
    Containers,
    FunctionSpec,
    LayerSpec,
    OverLimit,
    Pin,
    Project,
    Requirement,
    Slimming,
    Stack,
    existing_locks,
)
from layerkit.project.inputs import digests
from layerkit.project.text_files import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["from_json", "is_current", "to_json"]


def to_json(project: Project) -> str | None:
    """Return the project as JSON; None where it holds what must not be written anywhere."""
    return None if project.secret else json.dumps(_plain(project), sort_keys=True)


def from_json(text: str) -> Project | None:
    """Return the project that `to_json` wrote; None for what another version wrote, or nobody."""
    try:
        made = _made(Project, json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return None
    return made if isinstance(made, Project) else None


def is_current(project: Project) -> bool:
    """Say whether all that the project was read from is as it was, the locks beside it included."""
    root, names = project.root, [name for name, _ in project.inputs]
    if (root / "pyproject.toml").exists() != ("pyproject.toml" in names):
        return False
    try:
        found = digests((root / name for name in names), root, (project.output, project.lock_folder))
        if project.tool:
            locks, _ = existing_locks.find(root, tool=project.tool)
            if project.pins_source != (shown(locks[0], root) if locks else None):
                return False
    except (ConfigError, OSError):
        return False
    return found == project.inputs and all(
        item.code is None or item.code.exists() for item in project.functions
    )


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _made(kind: type, value: Mapping[str, Any]) -> object:
    """Return a value of one of the kinds, by its fields; TypeError where they are others."""
    readers = _READERS.get(kind, {})
    return kind(**{name: readers.get(name, _tuple)(item) for name, item in value.items()})


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


def _many(kind: type) -> Callable[[list[Any]], tuple[object, ...]]:
    """Return a reader for a list of values of one kind."""
    return lambda items: tuple(_made(kind, item) for item in items)


_READERS: dict[type, dict[str, Callable[[Any], Any]]] = {
    Requirement: {"path": _path},
    Pin: {"hashes": frozenset},
    LayerSpec: {"requirements": _many(Requirement)},
    FunctionSpec: {"code": _path},
    Project: {
        **dict.fromkeys(("root", "file", "output", "lock_folder"), Path),
        "layers": _many(LayerSpec),
        "functions": _many(FunctionSpec),
        "stacks": _many(Stack),
        "constraints": _many(Requirement),
        "overrides": _many(Requirement),
        "pins": _many(Pin),
        "never": frozenset,
        "over_limit": lambda value: _made(OverLimit, value),
        "slim": lambda value: _made(Slimming, value),
        "containers": lambda value: _made(Containers, value),
    },
}
