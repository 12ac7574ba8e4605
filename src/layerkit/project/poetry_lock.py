"""Read poetry.lock, from the first format to 2.1.

Since 2.1 each package carries its own markers. Before, a lock with several versions of a package
says it in a roundabout way: who asks for the package, in which range and on which Python, and
which Pythons each version itself admits. Both are put together here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerkit.project.pins import environment_only, hashes_of
from layerkit.project.requirement import Pin, and_markers, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerkit.project.requirement import Requirement

__all__ = ["pins"]

# What asks for a package: a range as poetry-core reads it, and a marker or None.
_Ask = tuple[str, "str | None"]


def pins(lock: dict[str, Any], requirements: Iterable[Requirement]) -> Iterator[Pin]:
    """Yield a pin for each package that came from an index."""
    metadata = lock.get("metadata", {})
    packages = [
        package
        for package in lock.get("package", [])
        if package.get("source", {}).get("type", "legacy") == "legacy"
    ]
    counts: dict[str, int] = {}
    for package in packages:
        counts[canonical(package["name"])] = counts.get(canonical(package["name"]), 0) + 1
    asks = _asks(lock, requirements) if any(count > 1 for count in counts.values()) else {}
    for package in packages:
        name = canonical(package["name"])
        marker = _own_marker(package)
        if counts[name] > 1 and marker is None:
            marker = _derived(package, asks.get(name, []))
        yield Pin(name=name, version=package["version"], marker=marker, hashes=_hashes(package, metadata))


def _hashes(package: dict[str, Any], metadata: dict[str, Any]) -> frozenset[str]:
    """Return the hashes: at the package since 2.0, under metadata.files in 1.1, metadata.hashes in 1.0."""
    if files := package.get("files"):
        return hashes_of(files)
    if files := metadata.get("files", {}).get(package["name"]):
        return hashes_of(files)
    return frozenset(f"sha256:{digest}" for digest in metadata.get("hashes", {}).get(package["name"], ()))


def _own_marker(package: dict[str, Any]) -> str | None:
    """Return the marker of a 2.1 lock: one text, or one for each group, of which any may hold."""
    markers = package.get("markers", package.get("marker"))
    if isinstance(markers, dict):
        texts = [environment_only(text) for text in markers.values()]
        # A group that the table does not name has the package everywhere.
        everywhere = None in texts or set(package.get("groups", ())) - set(markers)
        return None if everywhere else " or ".join(f"({text})" for text in dict.fromkeys(texts))
    return environment_only(markers) if isinstance(markers, str) else None


def _asks(lock: dict[str, Any], requirements: Iterable[Requirement]) -> dict[str, list[_Ask]]:
    """Return, for each package, the ranges and markers it is asked for with."""
    asks: dict[str, list[_Ask]] = {}
    for requirement in requirements:
        head = requirement.text.partition(";")[0]
        written = head.partition("]")[2] if "]" in head else head.lstrip()[len(requirement.name) :]
        asks.setdefault(requirement.name, []).append((written.strip(" ()") or "*", requirement.marker))
    for package in lock.get("package", []):
        for name, value in package.get("dependencies", {}).items():
            for item in value if isinstance(value, list) else [value]:
                table = item if isinstance(item, dict) else {"version": item}
                marker = environment_only(and_markers(table.get("markers"), _python(table.get("python"))))
                asks.setdefault(canonical(name), []).append((str(table.get("version", "*")), marker))
    return asks


def _derived(package: dict[str, Any], asks: list[_Ask]) -> str | None:
    """Return where a version is meant: on its own Pythons, for whoever's range admits it."""
    from poetry.core.constraints.version import Version, parse_constraint

    version = Version.parse(package["version"])
    markers: list[str] = []
    for written, marker in asks:
        if not parse_constraint(written).allows(version):
            continue
        if marker is None:
            markers = []
            break
        markers.append(marker)
    wanted = " or ".join(f"({marker})" for marker in dict.fromkeys(markers))
    return and_markers(_python(package.get("python-versions")), wanted or None)


def _python(versions: str | None) -> str | None:
    """Return a range of Python versions as a marker."""
    from layerkit.project.poetry_tables import marker_of

    return marker_of(versions) if versions and versions != "*" else None
