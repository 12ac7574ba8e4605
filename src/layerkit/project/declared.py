"""What a project's own files declare, before anybody says which of it goes into which layer.

An entry is read when a layer names it and not before: a development group with a version control
address is no fault of a project whose layers leave it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.errors import ConfigError
from layerkit.project.requirement import Requirement, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from layerkit.project.faults import Faults

__all__ = ["Declared", "Entry", "entries_of", "read_entries"]


class Entry(Struct, frozen=True):
    """One declared dependency: its canonical name, its place, and how to read it.

    `read` returns one requirement, or several where the declaration has several ranges, and
    raises ConfigError. `direct` says that it may name a place on this machine instead of a range.
    """

    name: str
    origin: str
    read: Callable[[], tuple[Requirement, ...]]
    direct: bool = False


class Declared(Struct, kw_only=True):
    """A project's declarations, with canonical names for extras and groups.

    `name` is as the project writes it. `buildable` says that the project's own folder is a
    package. `inputs` are the files that were read; they and `notes` may grow while entries are
    read. `secret` says that values of the environment stand in what was read, `require_hashes` that the
    files themselves ask for a hash of every wheel.
    """

    file: Path
    name: str | None = None
    version: str | None = None
    requires_python: str | None = None
    buildable: bool = False
    main: tuple[Entry, ...] = ()
    extras: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    constraints: tuple[Requirement, ...] = ()
    overrides: tuple[Requirement, ...] = ()
    index_arguments: tuple[str, ...] = ()
    inputs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    secret: bool = False
    require_hashes: bool = False

    def named(self, name: str) -> tuple[Entry, ...]:
        """Return the entries that declare a package: the main ones, else an extra's, else a group's."""
        for section in (self.main, *self.extras.values(), *self.groups.values()):
            if found := tuple(entry for entry in section if entry.name == name):
                return found
        return ()

    def is_own(self, name: str) -> bool:
        """Say whether a name is the project's own."""
        return self.name is not None and canonical(self.name) == canonical(name)


def entries_of(requirements: Iterable[Requirement]) -> tuple[Entry, ...]:
    """Return entries for requirements that are read already."""
    return tuple(Entry(item.name, item.origin, _already(item)) for item in requirements)


def read_entries(entries: Iterable[Entry], faults: Faults) -> Iterator[Requirement]:
    """Read the entries one after the other; what cannot be read is gathered as a fault."""
    for entry in entries:
        try:
            yield from entry.read()
        except ConfigError as error:  # noqa: PERF203 - the loop goes on, so that all faults are found
            faults.take(error)


def _already(requirement: Requirement) -> Callable[[], tuple[Requirement, ...]]:
    return lambda: (requirement,)
