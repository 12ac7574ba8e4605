"""What the readers of locks share: markers without choices, hashes, and the order of the pins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerkit.requirement import Pin

__all__ = ["environment_only", "hashes_of", "newest_first"]

# The parts of a marker that speak of extras or groups, in each lock's way.
_CHOICE = re.compile(
    r"""(?:extra\s*[!=]=\s*|["'][^"']*["']\s+(?:not\s+)?in\s+(?:extras|dependency_groups)\b)(?:["'][^"']*["'])?"""
)
_ALWAYS = 'python_version >= "0"'


def environment_only(marker: str | None) -> str | None:
    """Return the marker with what it says of extras and groups taken as true.

    A pin for an extra that nobody asks for does no harm, since nothing then asks for the package.
    """
    if not marker or _CHOICE.search(marker) is None:
        return marker or None
    rest = _CHOICE.sub(_ALWAYS, marker)
    return None if rest == _ALWAYS else rest


def hashes_of(files: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the sha256 hashes of files that carry `hash = "sha256:..."`."""
    found = (str(file.get("hash", "")) for file in files)
    return frozenset(text for text in found if text.startswith("sha256:"))


def newest_first(pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """Return the pins by name; `packaging` is needed only where one name has several versions."""
    groups: dict[str, list[Pin]] = {}
    for pin in pins:
        groups.setdefault(pin.name, []).append(pin)
    ordered: list[Pin] = []
    for name in sorted(groups):
        several = groups[name]
        if len(several) > 1:
            from packaging.version import InvalidVersion, Version

            try:
                several.sort(key=lambda pin: Version(pin.version), reverse=True)
            except InvalidVersion as error:
                raise ConfigError(str(error), where=name) from None
        ordered += several
    return tuple(ordered)
