"""Read what a pyproject.toml declares: PEP 621 dependencies and extras, PEP 735 groups, uv's sources.

Poetry's own tables are left to `poetry_tables`, which is imported only for projects that have them.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from layerkit.project.declared import Declared, Entry, entries_of, read_entries
from layerkit.project.faults import nearest
from layerkit.project.requirement import canonical, narrowed, parse
from layerkit.project.tables import table
from layerkit.project.text_files import shown
from layerkit.project.uv_sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layerkit.project.faults import Faults
    from layerkit.project.requirement import Requirement

__all__ = ["declared", "has_dependencies"]

_LEADING_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")


def has_dependencies(tables: Mapping[str, Any]) -> bool:
    """Say whether the file declares a project at all, and is not only the settings of tools."""
    return "project" in tables or "poetry" in table(tables, "tool")


def declared(tables: Mapping[str, Any], file: Path, root: Path, faults: Faults) -> Declared:
    """Return what the file declares. Faults that concern no single entry are gathered."""
    reader = _Reader(tables, file, root, faults)
    found = reader.declared()
    if "poetry" in table(tables, "tool"):
        from layerkit.project import poetry_tables

        if poetry_tables.matters(tables):
            poetry_tables.add(found, tables, file, root, faults)
    return found


class _Reader:
    """One reading of one pyproject.toml."""

    def __init__(self, tables: Mapping[str, Any], file: Path, root: Path, faults: Faults) -> None:
        """Keep the tables that matter; wrong types among them are faults, and then empty."""
        self.tables, self.file, self.root, self.faults = tables, file, root, faults
        self.shown = shown(file, root)
        self.project = table(tables, "project")
        self.sources = Sources(tables, file.parent, self.shown)
        self.dynamic = self.strings(self.project, "dynamic", "project")
        for name, value in (("project", tables.get("project", {})), ("tool", tables.get("tool", {}))):
            if not isinstance(value, dict):
                faults.add(f"{self.shown}: {name}", "this is not a table")
        self.inputs: list[Path] = [file]
        if self.sources.root != file.parent:
            self.inputs.append(self.sources.root / "pyproject.toml")

    def declared(self) -> Declared:
        """Return the PEP 621 and PEP 735 declarations."""
        extras = {
            name: tuple(self.entries(raw, f"project.optional-dependencies.{key}"))
            for name, key, raw in self.named_lists("project", "optional-dependencies")
        }
        groups = {
            name: tuple(self.group(key, ()))
            for name, key, _ in self.named_lists("dependency-groups", include=True)
        }
        main = tuple(
            self.entries(self.strings(self.project, "dependencies", "project"), "project.dependencies")
        )
        return Declared(
            file=self.file,
            name=self.text("name"),
            version=self.text("version"),
            requires_python=self.text("requires-python"),
            buildable=self.buildable(),
            main=(*main, *self.dynamic_files()),
            extras=extras,
            groups=groups,
            constraints=tuple(self.uv_list("constraint-dependencies")),
            overrides=tuple(self.uv_list("override-dependencies")),
            inputs=self.inputs,
            notes=self.sources.notes,
        )

    def text(self, key: str) -> str | None:
        """Return a string of [project]."""
        value = self.project.get(key)
        if value is None or isinstance(value, str):
            return value
        self.faults.add(f"{self.shown}: project.{key}", f"{value!r} is not a string")
        return None

    def strings(self, tables: Mapping[str, Any], key: str, path: str) -> list[Any]:
        """Return a list of strings; PEP 735 has tables among them, which `group` looks at."""
        value = tables.get(key, [])
        if isinstance(value, list):
            return value
        self.faults.add(f"{self.shown}: {path}.{key}", "this is not a list of requirements")
        return []

    def named_lists(self, *path: str, include: bool = False) -> Iterator[tuple[str, str, list[Any]]]:
        """Yield (canonical name, name as written, list) of a table of lists."""
        found = table(self.tables, *path)
        above = table(self.tables, *path[:-1])
        if not isinstance(above.get(path[-1], {}), dict):
            self.faults.add(f"{self.shown}: {'.'.join(path)}", "this is not a table")
        seen: dict[str, str] = {}
        for key in found:
            name = canonical(key)
            if name in seen:
                what = f"{key!r} and {seen[name]!r} are the same name"
                self.faults.add(f"{self.shown}: {'.'.join(path)}", what)
                continue
            seen[name] = key
            yield name, key, [] if include else self.strings(found, key, ".".join(path))

    def entries(self, raw: list[Any], path: str, seen: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Yield an entry for each requirement string of a list."""
        for index, item in enumerate(raw):
            yield from self.entry(item, f"{self.shown}: {path}[{index}]", seen)

    def entry(self, item: Any, origin: str, seen: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Yield the entry of a string; the project's own extras are what they stand for."""
        match = _LEADING_NAME.match(item) if isinstance(item, str) else None
        if match is None:
            self.faults.add(origin, f"{item!r} is not a requirement")
        elif match[2] and self.is_own(match[1]):
            yield from self.own_extras(item, match[2], origin, seen)
        else:
            name = canonical(match[1])
            direct = name in self.sources.sources or "@" in item
            yield Entry(name, origin, partial(self.read, item, origin), direct)

    def read(self, text: str, origin: str) -> tuple[Requirement, ...]:
        """Read one string, with uv's source in its place where there is one."""
        requirement = parse(text, origin, self.file.parent)
        return self.sources.apply(requirement)

    def is_own(self, name: str) -> bool:
        """Say whether a name is the project's own."""
        own = self.project.get("name")
        return isinstance(own, str) and canonical(own) == canonical(name)

    def own_extras(self, item: str, names: str, origin: str, seen: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what `project[a,b]` inside the project's own lists stands for: the extras a and b."""
        marker = item.partition(";")[2].strip() or None
        written = table(self.project, "optional-dependencies")
        known = {canonical(key): key for key in written}
        for name in (canonical(part.strip()) for part in names.split(",") if part.strip()):
            if name in seen:
                continue
            if name not in known:
                self.faults.add(origin, f"there is no extra called {name!r}{nearest(name, known)}")
                continue
            path = f"project.optional-dependencies.{known[name]}"
            raw = written[known[name]]
            for entry in self.entries(raw if isinstance(raw, list) else [], path, (*seen, name)):
                yield (
                    Entry(entry.name, entry.origin, partial(_with_marker, entry, marker)) if marker else entry
                )

    def group(self, key: str, chain: tuple[str, ...]) -> Iterator[Entry]:
        """Yield the entries of a PEP 735 group, those of the groups it includes among them."""
        groups = table(self.tables, "dependency-groups")
        for index, item in enumerate(self.strings(groups, key, "dependency-groups")):
            origin = f"{self.shown}: dependency-groups.{key}[{index}]"
            if isinstance(item, dict):
                yield from self.included(item, origin, (*chain, key))
            else:
                yield from self.entry(item, origin)

    def included(self, item: dict[str, Any], origin: str, chain: tuple[str, ...]) -> Iterator[Entry]:
        """Yield the entries of the group that {include-group = "name"} means."""
        known = {canonical(name): name for name in table(self.tables, "dependency-groups")}
        name = item.get("include-group")
        if set(item) != {"include-group"} or not isinstance(name, str):
            self.faults.add(origin, f'{item!r} is neither a requirement nor {{include-group = "name"}}')
        elif canonical(name) not in known:
            self.faults.add(origin, f"there is no group called {name!r}{nearest(name, known)}")
        elif (key := known[canonical(name)]) in chain:
            circle = " -> ".join((*chain, key))
            self.faults.add(origin, f"groups include one another in a circle: {circle}")
        else:
            yield from self.group(key, chain)

    def buildable(self) -> bool:
        """Say whether the project's folder is a package: it names a build backend, and no tool objects.

        PEP 517 makes setuptools the backend of a folder with a setup.py alone; uv and Poetry both
        let a project say that it is none.
        """
        if table(self.tables, "tool", "poetry").get("package-mode") is False:
            return False
        package = table(self.tables, "tool", "uv").get("package")
        if isinstance(package, bool):
            return package
        named = "build-system" in self.tables or (self.file.parent / "setup.py").is_file()
        return named and "project" in self.tables

    def dynamic_files(self) -> tuple[Entry, ...]:
        """Return the dependencies that setuptools is told to read from requirements files."""
        if "dependencies" not in self.dynamic or "poetry" in table(self.tables, "tool"):
            return ()
        rule = table(self.tables, "tool", "setuptools", "dynamic", "dependencies").get("file")
        names = [rule] if isinstance(rule, str) else rule
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.faults.add(
                f"{self.shown}: project.dynamic",
                "the dependencies are known only to the build backend",
                fix="list them in project.dependencies",
            )
            return ()
        from layerkit.project import requirements_txt

        found: list[Requirement] = []
        for name in names:
            read = requirements_txt.read(self.file.parent / name, self.root, self.faults)
            found += read.requirements
            self.inputs += read.files
        return entries_of(found)

    def uv_list(self, key: str) -> Iterator[Requirement]:
        """Yield the requirements of one of uv's lists."""
        uv = table(self.tables, "tool", "uv")
        yield from read_entries(self.entries(self.strings(uv, key, "tool.uv"), f"tool.uv.{key}"), self.faults)


def _with_marker(entry: Entry, marker: str) -> tuple[Requirement, ...]:
    """Read an entry and narrow it by the marker of the requirement that stood for it."""
    return tuple(narrowed(requirement, marker) for requirement in entry.read())
