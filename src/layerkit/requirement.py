"""What a project asks for: requirements, and the pins that an existing lock gives.

Every reader of a project's files makes these two values. Reading a requirement here costs one
regular expression; whether all of it is well-formed is proved by `validate`, which costs an
import of `packaging` and is therefore left to the step that resolves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Pin", "Requirement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that the project asks for.

    `text` is PEP 508 as uv takes it, without hashes; `name` and `extras` are canonical. `origin`
    is the place a person finds it at, such as `requirements.txt:3` or
    `pyproject.toml: project.dependencies[2]`. `hashes` are the ones a requirements file allows,
    as `sha256:...`. `path` is a local wheel or a folder to be built into one; `text` then names
    it as `name @ file://...`, and `name` is what the file or the folder's own metadata says.
    A direct URL in `text` may hold credentials: show `redact(text)`.
    """

    text: str
    name: str
    extras: tuple[str, ...] = ()
    marker: str | None = None
    origin: str
    hashes: tuple[str, ...] = ()
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A version that an existing lock settled on, for the targets on which `marker` holds.

    Where a lock holds several versions of a package, the newest stands first among the pins, and
    the first one whose marker holds is meant (`existing_locks.choose`). `hashes` are all the
    lock allows, as `sha256:...`, source archives included; empty where the lock has none.
    """

    name: str
    version: str
    marker: str | None = None
    hashes: frozenset[str] = frozenset()
