"""From the names of a layer's roots to requirements: what `numpy` means is what the project says of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import ConfigError
from layerkit.project.declared import read_entries
from layerkit.project.faults import nearest
from layerkit.project.local_paths import nameless
from layerkit.project.requirement import canonical, local, narrowed, parse, with_extras

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from layerkit.project.config import Placed, Roots
    from layerkit.project.declared import Declared, Entry
    from layerkit.project.faults import Faults
    from layerkit.project.requirement import Requirement

__all__ = ["Reader", "unnamed"]

# A name, extras and a marker, but no range: the range is the project's own.
_BARE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?:;\s*(?P<marker>.+))?")


class Reader:
    """Reads the roots of layers against what a project declares."""

    def __init__(self, declared: Declared, root: Path, faults: Faults) -> None:
        """Keep what names are looked up in."""
        self.declared, self.root, self.faults = declared, root, faults

    def read(self, roots: Roots) -> tuple[Requirement, ...]:
        """Return the requirements that the roots of one layer come to, each once."""
        found: list[Requirement] = []
        for path, text in roots.requirements:
            try:
                found += self.root_named(text, path)
            except ConfigError as error:  # noqa: PERF203 - the loop goes on, so that all faults are found
                self.faults.take(error)
        if roots.dependencies:
            found += read_entries(self.declared.main, self.faults)
        found += self._lists(roots.extras, self.declared.extras, "extra")
        found += self._lists(roots.groups, self.declared.groups, "dependency group")
        if roots.project and (own := self.own_wheel(f"{roots.path}.project")):
            found.append(own)
        return tuple(dict.fromkeys(found))

    def entries(self, entries: Iterable[Entry]) -> tuple[Requirement, ...]:
        """Return what a list of the project's declarations comes to."""
        return tuple(dict.fromkeys(read_entries(entries, self.faults)))

    def own_wheel(self, origin: str, extras: tuple[str, ...] = ()) -> Requirement | None:
        """Return the project itself as a requirement; that it cannot be built is a fault."""
        if self.declared.buildable and self.declared.name:
            return local(self.declared.name, self.root, origin, extras=extras)
        self.faults.add(
            origin,
            "the project has no wheel of its own: it names no build backend",
            fix="add a [build-system] table, or name its lists: dependencies = true, extras = [...]",
        )
        return None

    def root_named(self, text: str, path: str) -> Iterator[Requirement]:
        """Yield what one root means: a path, the project itself, a declared name, or PEP 508."""
        if found := nameless(text, path, (self.root,)):
            yield found
            return
        bare = _BARE.fullmatch(text)
        if bare is None:
            yield parse(text, path, self.root)
            return
        extras = tuple(canonical(part.strip()) for part in (bare["extras"] or "").split(",") if part.strip())
        if self.declared.is_own(bare["name"]):
            own = self.own_wheel(path, extras)
            yield from [narrowed(own, bare["marker"])] if own else []
            return
        entries = self.declared.named(canonical(bare["name"]))
        if not entries:
            yield parse(text, path, self.root)
            return
        for requirement in read_entries(entries, self.faults):
            yield narrowed(with_extras(requirement, extras), bare["marker"])

    def _lists(
        self, names: tuple[Placed, ...], known: Mapping[str, tuple[Entry, ...]], kind: str
    ) -> Iterator[Requirement]:
        """Yield what the named extras or groups hold."""
        for path, name in names:
            if canonical(name) in known:
                yield from read_entries(known[canonical(name)], self.faults)
            else:
                what = f"there is no {kind} called {name!r}{nearest(canonical(name), known)}"
                self.faults.add(path, what)


def unnamed(declared: Declared, requirements: Iterable[Requirement], root: Path) -> list[str]:
    """Return the main dependencies that no layer names; none where the project itself is a root."""
    found = list(requirements)
    if any(requirement.path == root for requirement in found):
        return []
    named = {requirement.name for requirement in found}
    return sorted({entry.name for entry in declared.main} - named)
