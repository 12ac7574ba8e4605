"""Which of a project's files says what it needs, where nobody named one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from layerkit.errors import ConfigError
from layerkit.project import pyproject
from layerkit.project.declared import Declared, entries_of
from layerkit.project.tables import table
from layerkit.project.text_files import read_toml, shown

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.project.faults import Faults

__all__ = ["Source", "find"]

_LOOKED_FOR = (
    "a pyproject.toml with [project], [tool.poetry] or [tool.layerkit], requirements.txt, "
    "Pipfile, Pipfile.lock, pylock.toml"
)


class Source(NamedTuple):
    """Where a project's declarations were found.

    `tables` is the folder's pyproject.toml, as far as it has a say. `tool` says whose lock comes
    first, and is None where the source is a lock itself.
    """

    root: Path
    declared: Declared
    tables: dict[str, Any]
    tool: str | None = None


def find(path: Path, faults: Faults) -> Source:
    """Return the source for a folder, or for a file that was named. ConfigError where there is none."""
    if path.is_dir():
        return _in_folder(path, faults)
    if not path.exists():
        raise ConfigError("there is no such file or folder", where=str(path))
    if path.name in {"pyproject.toml", "poetry.lock", "uv.lock"}:
        return _in_folder(path.parent, faults)
    return _file(path, faults)


def _in_folder(root: Path, faults: Faults) -> Source:
    """Return the source of a folder: the first that declares dependencies."""
    file = root / "pyproject.toml"
    tables = read_toml(file, file.name) if file.is_file() else {}
    if not pyproject.has_dependencies(tables):
        for name in ("requirements.txt", "Pipfile", "Pipfile.lock", "pylock.toml"):
            if (root / name).is_file():
                found = _file(root / name, faults, tables)
                if tables:
                    found.declared.inputs.append(file)
                return found
    tool = table(tables, "tool")
    if pyproject.has_dependencies(tables) or "dependency-groups" in tables or "layerkit" in tool:
        own = next((name for name in ("poetry", "uv") if name in tool), "")
        return Source(
            root=root,
            declared=pyproject.declared(tables, file, root, faults),
            tables=tables,
            tool=own or "any",
        )
    raise ConfigError(
        "the folder says nothing of what the project needs",
        where=str(root),
        fix=f"looked for {_LOOKED_FOR}",
    )


def _file(path: Path, faults: Faults, tables: dict[str, Any] | None = None) -> Source:
    """Return the source that a file is by its name; any other file is a requirements file."""
    root, tables = path.parent, tables or {}
    if path.name in {"Pipfile", "Pipfile.lock"}:
        from layerkit.project import pipfile

        read = pipfile.declared if path.name == "Pipfile" else pipfile.declared_by_lock
        return Source(root=root, declared=read(path, root, faults), tables=tables, tool="pipenv")
    if path.suffix == ".toml":
        from layerkit.project import pylock

        return Source(root=root, declared=pylock.declared(path, root, faults), tables=tables)
    return Source(root=root, declared=_requirements(path, root, faults), tables=tables, tool="pip")


def _requirements(path: Path, root: Path, faults: Faults) -> Declared:
    """Return what a requirements file declares."""
    from layerkit.project import requirements_txt

    if path.suffix in {".lock", ".whl", ".py", ".cfg", ".json", ".zip", ".gz"}:
        raise ConfigError(
            "this is no requirements file", where=shown(path, root), fix=f"known: {_LOOKED_FOR}"
        )
    found = requirements_txt.read(path, root, faults)
    return Declared(
        file=path,
        main=entries_of(found.requirements),
        constraints=tuple(found.constraints),
        index_arguments=tuple(found.index_arguments),
        inputs=found.files,
        notes=found.notes,
        secret=found.secret,
        require_hashes=found.require_hashes,
    )
