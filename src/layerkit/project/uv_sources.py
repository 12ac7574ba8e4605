"""[tool.uv.sources]: where uv takes a dependency from, when it is not an index.

Members of a workspace and paths become folders and wheels to be built or taken as they are. The
workspace's root is the nearest folder upwards whose pyproject.toml has [tool.uv.workspace].
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from layerkit.errors import ConfigError
from layerkit.project.faults import redact
from layerkit.project.requirement import VCS_FIX, Requirement, canonical, direct, local, narrowed, resolved
from layerkit.project.tables import table
from layerkit.project.text_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Sources", "workspace_root"]


def workspace_root(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the root of the workspace that a folder is the root or a member of, and its tables."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if not _mentions_workspace(file):
            continue
        tables = read_toml(file)
        if workspace := table(tables, "tool", "uv", "workspace"):
            inside = place == folder or folder in members(place, workspace)
            return (place, tables) if inside else None
    return None


def _mentions_workspace(file: Path) -> bool:
    """Say whether reading the file as TOML is worth it; a file nobody may read has no say."""
    try:
        return b"workspace" in file.read_bytes()
    except OSError:
        return False


def members(root: Path, workspace: Mapping[str, Any]) -> list[Path]:
    """Return the folders that the workspace's patterns name, those without a pyproject.toml left out."""
    return [
        path
        for path in _matching(root, workspace.get("members"))
        if (path / "pyproject.toml").is_file() and path not in _matching(root, workspace.get("exclude"))
    ]


def _matching(root: Path, patterns: Any) -> list[Path]:
    """Return the folders that patterns name; one that pathlib cannot read names none."""
    texts = [text for text in patterns if isinstance(text, str)] if isinstance(patterns, list) else []
    try:
        return sorted({resolved(path) for text in texts for path in root.glob(text.strip("/") or ".")})
    except (NotImplementedError, ValueError, IndexError):
        return []


class _Source(NamedTuple):
    """A source as written, the folder its paths start from, and its place."""

    value: Any
    folder: Path
    where: str


class Sources:
    """The sources of one pyproject.toml, those it inherits from its workspace's root included."""

    def __init__(self, tables: Mapping[str, Any], folder: Path, shown: str) -> None:
        """Take the table as it stands; it is looked into when a requirement has that name."""
        self.folder, self.shown = folder, shown
        self.found = workspace_root(folder)
        inherited = self.found[1] if self.found and self.found[0] != folder else {}
        # What a member says stands above what its workspace's root says.
        self.sources = {**_sources(inherited, self.root, shown), **_sources(tables, folder, shown)}
        self.notes: list[str] = []

    @property
    def root(self) -> Path:
        """Return the workspace's root, or the project's own folder."""
        return self.found[0] if self.found else self.folder

    @cached_property
    def workspace(self) -> dict[str, Path]:
        """Return the folder of each member by its canonical name."""
        if self.found is None:
            return {}
        folders = [self.root, *members(self.root, table(self.found[1], "tool", "uv", "workspace"))]
        named = ((folder, _name(folder / "pyproject.toml")) for folder in folders)
        return {canonical(name): folder for folder, name in named if name}

    def apply(self, requirement: Requirement) -> tuple[Requirement, ...]:
        """Return the requirement as its source says; itself where it has none."""
        source = self.sources.get(requirement.name)
        if source is None or requirement.path is not None:
            return (requirement,)
        return tuple(self._each(requirement, source))

    def _each(self, requirement: Requirement, source: _Source) -> Iterator[Requirement]:
        """Yield one requirement for each source and the marker it holds for."""
        for item in source.value if isinstance(source.value, list) else [source.value]:
            if not isinstance(item, dict):
                raise ConfigError(f"{item!r} is not a table", where=source.where)
            marker = item.get("marker")
            found = self._one(requirement, item, source)
            yield narrowed(found, marker if isinstance(marker, str) else None)

    def _one(self, requirement: Requirement, item: Mapping[str, Any], source: _Source) -> Requirement:
        """Return the requirement with a source in the place of its range of versions."""
        name, origin, extras, marker = (
            requirement.name, requirement.origin, requirement.extras, requirement.marker,
        )  # fmt: skip
        if item.get("workspace") is True:
            folder = self.workspace.get(name)
            if folder is None:
                raise ConfigError(f"the workspace has no member called {name!r}", where=source.where)
            return local(name, folder, origin, extras=extras, marker=marker)
        if isinstance(path := item.get("path"), str):
            return local(name, resolved(source.folder / path), origin, extras=extras, marker=marker)
        if isinstance(url := item.get("url"), str):
            return direct(name, url, origin, source.folder, extras=extras, marker=marker)
        if isinstance(git := item.get("git"), str):
            raise ConfigError(
                f"{redact(git)!r} is a version control address", where=source.where, fix=VCS_FIX
            )
        if not isinstance(index := item.get("index"), str):
            raise ConfigError("this is no path, workspace, url or index", where=source.where)
        self.notes.append(
            f"{source.where}: the index {index!r} cannot be asked for one package alone; "
            "every package comes from the indexes that uv's own settings name"
        )
        return requirement


def _sources(tables: Mapping[str, Any], folder: Path, shown: str) -> dict[str, _Source]:
    """Return the sources of a file by canonical name."""
    return {
        canonical(key): _Source(value, folder, f"{shown}: tool.uv.sources.{key}")
        for key, value in table(tables, "tool", "uv", "sources").items()
    }


def _name(file: Path) -> str | None:
    """Return the name of the project that a pyproject.toml is of."""
    name = table(read_toml(file), "project").get("name")
    return name if isinstance(name, str) else None
