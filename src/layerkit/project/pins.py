"""What the readers of locks share: markers without choices, hashes, and the order of the pins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from layerkit.project.requirement import Pin

__all__ = ["environment_only", "hashes_of", "newest_first"]

# The parts of a marker that speak of extras or groups, in each lock's way.
_CHOICE = re.compile(
    r"""(?P<name>["'][^"']*["'])\s+(?P<not>not\s+)?in\s+(?:extras|dependency_groups)\b"""
    r"""|extra\s*(?P<unequal>!)?==?\s*(?P<extra>["'][^"']*["'])"""
)
_TRUE, _FALSE = 'python_version >= "0"', 'python_version < "0"'


def environment_only(marker: str | None, chosen: Collection[str] | None = None) -> str | None:
    """Return the marker with what it says of extras and groups decided, so that only the environment is left.

    `chosen` names the extras and groups that are wanted. Without it everything said of them counts
    as true: a pin for an extra that nobody asks for does no harm, since nothing then asks for it.
    """

    def decided(match: re.Match[str]) -> str:
        name = (match["name"] or match["extra"]).strip("\"'")
        denied = bool(match["not"] or match["unequal"])
        return _TRUE if chosen is None or (name in chosen) != denied else _FALSE

    rest = _CHOICE.sub(decided, marker or "")
    return None if rest in {"", _TRUE} else rest


def hashes_of(files: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the sha256 hashes of files that carry `hash = "sha256:..."`."""
    found = (str(file.get("hash", "")) for file in files)
    return frozenset(text for text in found if text.startswith("sha256:"))


def newest_first(pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """Return the pins by name; ValueError for a version that is none.

    `packaging` is needed only where one name has several versions.
    """
    groups: dict[str, list[Pin]] = {}
    for pin in pins:
        groups.setdefault(pin.name, []).append(pin)
    ordered: list[Pin] = []
    for name in sorted(groups):
        several = groups[name]
        if len(several) > 1:
            from packaging.version import Version

            several.sort(key=lambda pin: Version(pin.version), reverse=True)
        ordered += several
    return tuple(ordered)
