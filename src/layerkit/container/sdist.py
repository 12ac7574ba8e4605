"""A source archive, read without running anything of it: how it wants to be built.

The form is the one of source distributions (PEP 517, PEP 625): everything lies in one folder, and
pyproject.toml in it names the build backend (PEP 518). Older archives have none, and are zips at times.
"""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import WheelError
from layerkit.toml import parse

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 1 << 20
_MOST_MEMBERS = 200_000
_NAME = "pyproject.toml"
# What PEP 517 says of archives that name no backend.
_BACKEND = "setuptools.build_meta:__legacy__"
_REQUIRES = ("setuptools>=40.8.0",)


class BuildSystem(Struct, frozen=True, kw_only=True):
    """What pyproject.toml says about building: requirements (PEP 508), the backend, and its path."""

    requires: tuple[str, ...] = _REQUIRES
    backend: str = _BACKEND
    path: tuple[str, ...] = ()


def build_system(archive: Path, filename: str) -> BuildSystem:
    """Return how a source archive is built. Raises WheelError for one that cannot be read."""
    try:
        found = _from_zip(archive) if filename.endswith(".zip") else _from_tar(archive)
        table = parse(found.decode("utf-8")).get("build-system", {}) if found is not None else {}
        return _read(table)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError, TypeError) as error:
        raise WheelError(f"the source archive cannot be read: {error}", where=filename) from error


def _read(table: Any) -> BuildSystem:
    """Read [build-system]; without `requires` the specification takes it for absent."""
    if not isinstance(table, dict):
        raise TypeError("build-system in pyproject.toml is no table")
    requires, backend, path = table.get("requires"), table.get("build-backend"), table.get("backend-path", [])
    if requires is None:
        return BuildSystem()
    texts = [*requires, *path, backend or ""]
    if not isinstance(requires, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError("[build-system] in pyproject.toml has the wrong form")
    return BuildSystem(requires=tuple(requires), backend=backend or _BACKEND, path=tuple(path))


def _from_tar(archive: Path) -> bytes | None:
    """Return pyproject.toml of a tar."""
    with tarfile.open(archive, mode="r|*") as members:
        for count, info in enumerate(members):
            if count > _MOST_MEMBERS:
                raise ValueError("it has too many members")
            if info.isfile() and _is_wanted(info.name) and info.size <= _LONGEST:
                content = members.extractfile(info)
                return content.read() if content else None
    return None


def _from_zip(archive: Path) -> bytes | None:
    """Return pyproject.toml of a zip."""
    with zipfile.ZipFile(archive) as members:
        for info in members.infolist():
            if _is_wanted(info.filename) and info.file_size <= _LONGEST:
                return members.read(info)
    return None


def _is_wanted(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == _NAME  # noqa: PLR2004 - the folder and the file in it
