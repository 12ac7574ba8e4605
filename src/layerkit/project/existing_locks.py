"""Locks that other tools left beside a project: their versions and hashes are the pins to keep.

`find` says which lock counts, `read` gives its pins. Only packages from an index are pins; what
came from a path, an address or a repository is the project's own requirement and not a version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import ConfigError
from layerkit.project.text_files import read_json, read_toml, shown
from layerkit.project.uv_sources import workspace_root

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project.requirement import Pin, Requirement

__all__ = ["find", "read"]

# PEP 751: the one lock, and named ones beside it.
_PYLOCK = re.compile(r"pylock\.(?:[^.]+\.)?toml")


def find(root: Path, *, tool: str | None) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the lock that counts, or none, and what a user should know about the choice.

    The order: the lock of the project's own tool (`poetry`, `uv` or `pipenv`), then uv.lock,
    poetry.lock, pylock.toml, the one pylock.*.toml, Pipfile.lock. A member of a uv workspace has
    its uv.lock at the workspace's root. With `tool` "pip", only PEP 751 locks count.
    """
    uv, poetry, pipenv = root / "uv.lock", root / "poetry.lock", root / "Pipfile.lock"
    own = {"poetry": poetry, "uv": uv, "pipenv": pipenv}.get(tool or "")
    named = sorted(path for path in root.glob("pylock.*.toml") if _PYLOCK.fullmatch(path.name))
    plain = [root / "pylock.toml", *(named if len(named) == 1 else [])]
    order = plain if tool == "pip" else [*([own] if own else []), uv, poetry, *plain, pipenv]
    found = [path for path in dict.fromkeys(order) if path.is_file()]
    if not uv.is_file() and tool not in {"pip", "pipenv"} and (shared := _of_workspace(root)):
        found.append(shared)
    notes = []
    if len(found) > 1:
        others = ", ".join(shown(path, root) for path in found[1:])
        notes.append(f"the versions of {shown(found[0], root)} are kept; {others} beside it is not read")
    if len(named) > 1 and not found:
        names = ", ".join(path.name for path in named)
        notes.append(f"none of {names} is read: one of them has to be given as the project")
    return tuple(found[:1]), tuple(notes)


def _of_workspace(root: Path) -> Path | None:
    """Return the uv.lock of the workspace that the project is a member of."""
    if not any((folder / "uv.lock").is_file() for folder in root.parents):
        return None
    found = workspace_root(root)
    lock = found[0] / "uv.lock" if found else None
    return lock if lock and lock.is_file() else None


def read(path: Path, root: Path, requirements: Iterable[Requirement] = ()) -> tuple[Pin, ...]:
    """Return the pins of a lock, by name, a name's newest version first.

    `requirements` are the project's own: an older poetry.lock with several versions of a package
    does not say itself which is for which Python. Raises ConfigError where the lock is none.
    """
    where = shown(path, root)
    lock = read_json(path, where) if path.name == "Pipfile.lock" else read_toml(path, where)
    from layerkit.project import pin_readers
    from layerkit.project.pins import newest_first

    try:
        return newest_first(pin_readers.pins(lock, path.name, where, requirements))
    # What a reader stumbles over in a file that no tool wrote so; ValueError: a version that is none.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"the lock is not as its tool writes it ({type(error).__name__}: {error})"
        raise ConfigError(what, where=where, fix="let the tool that wrote it write it again") from None
