"""Words of findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 8


def count(number: int, what: str) -> str:
    """Return how many there are of something: 1 file, 2 files."""
    return f"{number:,} {plural(number, what)}"


def some(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: the first few, and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
