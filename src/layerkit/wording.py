"""Words that several sentences share."""

from __future__ import annotations


def plural(number: int, what: str) -> str:
    """Return what there is so many of: file, files."""
    return what if number == 1 else f"{what}s"
