"""Packages taken from their source: which, in what versions, and what they require.

uv would run a package's build to learn what it requires. Here it is told: at first that such a package
requires nothing, and once a version was chosen and built, what its wheel says. That is repeated until
every version chosen is one whose wheel is there. uv chooses from source archives for these packages
alone (`--no-binary` names them beside `--only-binary :all:`), with the settings that the project and
the user have given it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from layerkit.errors import ResolutionError
from layerkit.fetch import uv_settings
from layerkit.lock.uv import UnsatisfiableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layerkit.lock import Source, WheelRef
    from layerkit.lock.uv import Candidate

# So many versions of one package are built in search of one that fits, and no more.
_MOST_VERSIONS = 5
# Settings that uv reads in pyproject.toml and refuses in a uv.toml; none is about finding packages.
_PROJECTS_ONLY = frozenset(
    {
        "build-backend", "cache-keys", "conflicts", "default-groups", "dependency-groups",
        "dev-dependencies", "environments", "managed", "package", "required-environments", "sources",
        "workspace",
    }
)  # fmt: skip
_PLACES = ("index-url", "extra-index-url", "find-links")


class BuiltWheel(Struct, frozen=True, kw_only=True):
    """A wheel that was built from source, in the store, and what its METADATA says."""

    wheel: WheelRef
    source: Source
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    requires_python: str | None = None


class KnownSources(Struct, frozen=True, kw_only=True):
    """The packages that are taken from source, and the wheels of theirs that are there."""

    names: frozenset[str]
    built: Mapping[tuple[str, str], BuiltWheel]

    def arguments(self) -> tuple[str, ...]:
        """Return what uv's command line says about them."""
        return tuple(part for name in sorted(self.names) for part in ("--no-binary", name))

    def write(self, path: Path, project: Path) -> str:
        """Write the settings for uv, with what is known of each package, and return the path as text."""
        import tomli_w

        document = settings(project)
        ours = [
            *map(self._metadata, self.built),
            *({"name": n, "requires-dist": []} for n in sorted(self.names)),
        ]
        document["dependency-metadata"] = [*ours, *document.get("dependency-metadata", [])]
        path.write_text(tomli_w.dumps(document), encoding="utf-8")
        return str(path)

    def _metadata(self, key: tuple[str, str]) -> dict[str, Any]:
        name, version = key
        wheel = self.built[key]
        told = {"name": name, "version": version, "requires-dist": list(wheel.requires)}
        python = {"requires-python": wheel.requires_python} if wheel.requires_python else {}
        return {**told, **python, "provides-extra": list(wheel.extras)}


def build_constraints(project: Path) -> tuple[str, ...]:
    """Return uv's `build-constraint-dependencies`, which bound what builds may use."""
    return tuple(str(text) for text in settings(project).get("build-constraint-dependencies", []))


class Sources:
    """Takes packages from source: those that the project names, and where it may those that have to be."""

    def __init__(
        self,
        forced: Iterable[str],
        build: Callable[[Candidate], BuiltWheel],
        *,
        may_add: bool,
        build_all: Callable[[Sequence[Candidate]], Sequence[BuiltWheel]] | None = None,
    ) -> None:
        """Keep what to build with; `may_add` allows packages beside the forced ones.

        `build_all` builds several at once.
        """
        self._names = set(forced)
        self._build_all = build_all or (lambda many: [build(one) for one in many])
        self.may_add = may_add
        self._built: dict[tuple[str, str], BuiltWheel] = {}

    def resolve(self, ask: Callable[[KnownSources], tuple[Candidate, ...]]) -> tuple[Candidate, ...]:
        """Ask until every package that is taken from source has its wheel; return the answer with these.

        Raises what `ask` raises when building more would not help, and what building raises.
        """
        while True:
            try:
                found = ask(KnownSources(names=frozenset(self._names), built=self._built))
            except UnsatisfiableError as error:
                added = set(error.unbuilt) - self._names
                if not added or not self.may_add:
                    raise
                self._names |= added
                continue
            missing = [
                one for one in found if _from_source(one) and (one.name, one.version) not in self._built
            ]
            if not missing:
                return tuple(self._with_wheel(candidate) for candidate in found)
            self._learn(missing)

    def _learn(self, candidates: Sequence[Candidate]) -> None:
        """Build the wheels of candidates."""
        for candidate in candidates:
            tried = [version for name, version in self._built if name == candidate.name]
            if len(tried) == _MOST_VERSIONS:
                raise ResolutionError(
                    f"{candidate.name}: the versions {', '.join(tried)} were built, and none of them fits",
                    fix="narrow its version in the requirements",
                )
        for candidate, built in zip(candidates, self._build_all(candidates), strict=True):
            self._built[candidate.name, candidate.version] = built

    def _with_wheel(self, candidate: Candidate) -> Candidate:
        """Return the candidate with the wheel that was built of it, if one was."""
        built = self._built.get((candidate.name, candidate.version))
        if built is None or not _from_source(candidate):
            return candidate
        return replace(candidate, wheels=(built.wheel,), source=built.source)


def _from_source(candidate: Candidate) -> bool:
    return candidate.sdist is not None and not candidate.wheels


def settings(project: Path) -> dict[str, Any]:
    """Return what all of uv's configuration files say together, the nearest first, as uv combines them."""
    combined: dict[str, Any] = {}
    for source, document in uv_settings.documents(project, os.environ):
        kept = {key: value for key, value in document.items() if key not in _PROJECTS_ONLY}
        _combine(combined, _with_absolute_places(kept, Path(source).parent))
    return combined


def _combine(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add what is not said yet; lists are continued."""
    for key, value in more.items():
        if isinstance(value, list) and isinstance(into.get(key), list):
            into[key] = [*into[key], *value]
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _combine(into[key], value)
        else:
            into.setdefault(key, value)


def _with_absolute_places(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return settings whose relative paths start at the root: the file that they stood in is elsewhere."""
    found = dict(document)
    for key in _PLACES:
        if isinstance(found.get(key), list):
            found[key] = [_absolute(place, folder) for place in found[key]]
        elif key in found:
            found[key] = _absolute(found[key], folder)
    if isinstance(found.get("index"), list):
        found["index"] = [{**one, "url": _absolute(one.get("url"), folder)} for one in found["index"]]
    if isinstance(found.get("pip"), dict):
        found["pip"] = _with_absolute_places(found["pip"], folder)
    return found


def _absolute(place: Any, folder: Path) -> Any:
    """Return a path as an absolute one; addresses as they are."""
    if not isinstance(place, str) or "://" in place or place.startswith(("/", "~", "$")):
        return place
    return str(folder / place)
