"""Poetry's own tables, [tool.poetry.dependencies] and its kin, read with poetry-core.

poetry-core says what `^1.2` or `~1.2` means as PEP 508. Paths, addresses and sources are read
here, since a layer's wheel may come only from some of them. Importing poetry-core takes longer
than all other reading together, so an entry imports it when it is read.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError
from layerkit.project.declared import Declared, Entry
from layerkit.project.faults import nearest, redact
from layerkit.project.requirement import (
    VCS_FIX,
    Requirement,
    and_markers,
    canonical,
    direct,
    is_name,
    local,
    parse,
    resolved,
)
from layerkit.project.tables import names
from layerkit.project.text_files import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layerkit.project.faults import Faults

__all__ = ["add", "marker_of", "matters", "python_range"]

# Means the same to PEP 440, so that poetry-core need not be asked.
_PLAIN_RANGE = re.compile(r"\s*(?:[<>]=?|[!=]=)\s*[\d.]+\s*(?:,\s*(?:[<>]=?|[!=]=)\s*[\d.]+\s*)*")
_KEYS = ("dependencies", "dev-dependencies", "group", "extras", "source", "name", "version")


def matters(tables: Mapping[str, Any]) -> bool:
    """Say whether [tool.poetry] declares anything, and is not only the settings of the build."""
    poetry = tables["tool"]["poetry"]
    return isinstance(poetry, dict) and any(key in poetry for key in _KEYS)


def add(found: Declared, tables: Mapping[str, Any], file: Path, root: Path, faults: Faults) -> None:
    """Add what Poetry's tables declare to what the standard tables declare.

    Where [project] lists dependencies, Poetry's table only says more about them, such as a path,
    or a narrower range; where [project] is absent or leaves them open, Poetry's is the list.
    """
    reader = _Reader(tables["tool"]["poetry"], file, root, faults)
    project = tables.get("project")
    project = project if isinstance(project, dict) else {}
    own = "dependencies" in project or "optional-dependencies" in project
    found.name = found.name or reader.text("name")
    found.version = found.version or reader.text("version")
    found.requires_python = found.requires_python or reader.python()
    if not project:
        found.buildable = reader.poetry.get("package-mode") is not False
    main = reader.section("dependencies", "tool.poetry.dependencies")
    if own and "dependencies" not in project.get("dynamic", ()):
        found.main = tuple(reader.enrich(found.main, main))
        found.extras = {key: tuple(reader.enrich(value, main)) for key, value in found.extras.items()}
    else:
        optional = reader.optional("dependencies")
        found.main = (*found.main, *(entry for entry in main if entry.name not in optional))
        found.extras = {**reader.extras(main), **found.extras}
    found.groups = {**reader.groups(), **found.groups}
    found.index_arguments = (*found.index_arguments, *reader.indexes(found.notes))


class _Reader:
    """One reading of one [tool.poetry]."""

    def __init__(self, poetry: Mapping[str, Any], file: Path, root: Path, faults: Faults) -> None:
        self.poetry, self.file, self.faults = poetry, file, faults
        self.shown = shown(file, root)

    def text(self, key: str) -> str | None:
        """Return a string, or None where there is something else."""
        value = self.poetry.get(key)
        return value if isinstance(value, str) else None

    def items(self, tables: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
        """Return a table; what is none is a fault."""
        value = tables.get(key, {})
        if isinstance(value, dict):
            return value
        self.faults.add(f"{self.shown}: {path}", "this is not a table")
        return {}

    def python(self) -> str | None:
        """Return the range of `python` as PEP 440 writes it."""
        written = self.items(self.poetry, "dependencies", "tool.poetry.dependencies").get("python")
        if not isinstance(written, str):
            return None
        try:
            return python_range(written)
        except ValueError as error:
            self.faults.add(f"{self.shown}: tool.poetry.dependencies.python", str(error))
            return None

    def section(self, key: str, path: str, tables: Mapping[str, Any] | None = None) -> tuple[Entry, ...]:
        """Return an entry for each constraint of each name of a table of dependencies."""
        entries: list[Entry] = []
        for name, value in self.items(self.poetry if tables is None else tables, key, path).items():
            if name.lower() == "python":
                continue
            several = isinstance(value, list)
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                origin = f"{self.shown}: {path}.{name}" + (f"[{index}]" if several else "")
                read = partial(_read, name, item, origin, self.file.parent)
                placed = isinstance(item, dict) and not item.keys().isdisjoint({"path", "file"})
                entries.append(Entry(canonical(name), origin, read, placed))
        return tuple(entries)

    def optional(self, key: str) -> frozenset[str]:
        """Return the names that are installed with an extra only."""
        return frozenset(
            canonical(name)
            for name, value in self.items(self.poetry, key, f"tool.poetry.{key}").items()
            if any(
                isinstance(item, dict) and item.get("optional") is True
                for item in (value if isinstance(value, list) else [value])
            )
        )

    def extras(self, main: tuple[Entry, ...]) -> dict[str, tuple[Entry, ...]]:
        """Return the entries that each extra names."""
        found: dict[str, tuple[Entry, ...]] = {}
        known = {entry.name for entry in main}
        for extra, written in self.items(self.poetry, "extras", "tool.poetry.extras").items():
            listed = written if isinstance(written, list) else []
            if not isinstance(written, list):
                self.faults.add(f"{self.shown}: tool.poetry.extras.{extra}", "this is not a list of names")
            wanted = [canonical(str(name).split("[")[0]) for name in listed]
            for index, name in enumerate(wanted):
                if name not in known:
                    what = f"there is no dependency called {name!r}{nearest(name, known)}"
                    self.faults.add(f"{self.shown}: tool.poetry.extras.{extra}[{index}]", what)
            found[canonical(extra)] = tuple(entry for entry in main if entry.name in wanted)
        return found

    def groups(self) -> dict[str, tuple[Entry, ...]]:
        """Return the entries of each group, those of the groups it includes among them."""
        tables = self.items(self.poetry, "group", "tool.poetry.group")
        written = {canonical(key): key for key in tables}
        found = {name: tuple(self.group(name, written, tables, ())) for name in written}
        if "dev-dependencies" in self.poetry and "dev" not in found:
            found["dev"] = self.section("dev-dependencies", "tool.poetry.dev-dependencies")
        return found

    def group(
        self, name: str, written: Mapping[str, str], tables: Mapping[str, Any], chain: tuple[str, ...]
    ) -> Iterator[Entry]:
        """Yield the entries of one group and of those it includes."""
        key = written[name]
        path = f"tool.poetry.group.{key}"
        group = self.items(tables, key, path)
        yield from self.section("dependencies", f"{path}.dependencies", group)
        included = group.get("include-groups", [])
        for index, other in enumerate(included if isinstance(included, list) else []):
            origin = f"{self.shown}: {path}.include-groups[{index}]"
            if (wanted := canonical(str(other))) not in written:
                self.faults.add(origin, f"there is no group called {other!r}{nearest(wanted, written)}")
            elif wanted in (*chain, name):
                circle = " -> ".join((*chain, name, wanted))
                self.faults.add(origin, f"groups include one another in a circle: {circle}")
            else:
                yield from self.group(wanted, written, tables, (*chain, name))

    def enrich(self, standard: tuple[Entry, ...], main: tuple[Entry, ...]) -> Iterator[Entry]:
        """Yield the standard entries with what Poetry's table says of them."""
        for entry in standard:
            more = tuple(other for other in main if other.name == entry.name)
            direct = entry.direct or any(other.direct for other in more)
            read = partial(_enriched, entry, more)
            yield Entry(entry.name, entry.origin, read, direct) if more else entry

    def indexes(self, notes: list[str]) -> Iterator[str]:
        """Yield uv's arguments for [[tool.poetry.source]].

        A primary source takes the public index's place, a supplemental one stands beside it. One
        that is explicit is for single packages, which uv's command line has no word for. A named
        index lets uv find its user and password in the environment, under that name.
        """
        written = self.poetry.get("source", [])
        sources = [item for item in written if isinstance(item, dict)] if isinstance(written, list) else []
        # Named without an address, the public index is meant to stay.
        kept = any("url" not in source and source.get("priority") != "explicit" for source in sources)
        for source in sources:
            name, url = source.get("name"), source.get("url")
            priority = str(source.get("priority", "primary")).lower()
            if not isinstance(url, str):
                continue
            if priority == "explicit":
                notes.append(
                    f"{self.shown}: tool.poetry.source: {name!r} is explicit, but is looked through "
                    "for every package: uv cannot ask it for one alone"
                )
            default = not kept and priority in {"primary", "default"}
            kept = kept or default
            yield "--default-index" if default else "--index"
            yield f"{name}={url}" if isinstance(name, str) and is_name(name) else url


def _read(name: str, item: Any, origin: str, base: Path) -> tuple[Requirement, ...]:
    """Read one constraint of one dependency."""
    if not isinstance(item, (str, dict)):
        raise ConfigError(f"{item!r} is neither a version nor a table", where=origin)
    source = item if isinstance(item, dict) else {}
    extras = tuple(map(canonical, names(source.get("extras"), origin)))
    if isinstance(git := source.get("git"), str):
        raise ConfigError(f"{redact(git)!r} is a version control address", where=origin, fix=VCS_FIX)
    path = source.get("path", source.get("file"))
    if isinstance(path, str):
        marker = _marker(source, origin)
        return (local(name, resolved(base / path), origin, extras=extras, marker=marker),)
    if isinstance(url := source.get("url"), str):
        return (direct(name, url, origin, base, extras=extras, marker=_marker(source, origin)),)
    return (parse(_pep_508(name, item, origin), origin, base),)


def _pep_508(name: str, item: str | dict[str, Any], origin: str) -> str:
    """Return a constraint as PEP 508, by poetry-core."""
    # Plain and common enough to be worth not importing poetry-core for.
    if item == "*":
        return name
    from poetry.core.factory import Factory

    try:
        dependency = Factory.create_dependency(name, item, groups=["main"])
        text = dependency.to_pep_508(with_extras=False)
    except Exception as error:  # noqa: BLE001 - its parsers raise errors of their own libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{item!r} is no dependency of {name}: {reason}", where=origin) from None
    if "||" in text.partition(";")[0]:
        raise ConfigError(
            f"{item!r} has alternatives, which no installer understands",
            where=origin,
            fix="write one range, with != for what it must not hold",
        )
    return text


def _marker(source: Mapping[str, Any], origin: str) -> str | None:
    """Return the marker that `python`, `platform` and `markers` of a dependency come to."""
    conditions = {key: source[key] for key in ("python", "platform", "markers") if key in source}
    if not conditions:
        return None
    return _pep_508("x", {"version": "*", **conditions}, origin).partition(";")[2].strip() or None


def _enriched(entry: Entry, more: tuple[Entry, ...]) -> tuple[Requirement, ...]:
    """Read a standard entry: a path or an address of Poetry's takes its place, a range joins it."""
    standard, others = entry.read(), tuple(item for other in more for item in other.read())
    direct_ones = tuple(item for item in others if " @ " in item.text)
    ranges = tuple(item for item in others if item not in direct_ones and item.text != item.name)
    if direct_ones and not any(item.marker for item in direct_ones):
        return direct_ones
    return (*standard, *direct_ones, *ranges)


def python_range(written: str) -> str:
    """Return Poetry's `^3.8` as PEP 440 writes it; ValueError where it is no range."""
    if _PLAIN_RANGE.fullmatch(written):
        return written.replace(" ", "")
    from poetry.core.constraints.version import parse_constraint
    from poetry.core.version.helpers import format_python_constraint

    return format_python_constraint(parse_constraint(written)).replace(" ", "")


def marker_of(python_versions: str) -> str | None:
    """Return the marker for Poetry's range of Python versions; None where any will do."""
    from poetry.core.constraints.version import parse_constraint
    from poetry.core.packages.utils.utils import create_nested_marker

    return and_markers(create_nested_marker("python_version", parse_constraint(python_versions)))
