"""The package that decodes zstd on a runtime whose Python cannot: what a bundle above the limit needs.

The decoders have the interface of Python 3.14's compression.zstd. backports.zstd and pyzstd require nothing
and unzip to about a megabyte; zstandard, which is better known, unzips to 23.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerkit.project import Project
    from layerkit.target import Target

DECODERS = frozenset({"backports-zstd", "pyzstd"})
_BUILT_IN, _BACKPORTED, _OLDEST = (3, 14), (3, 9), (3, 7)


def decoder(project: Project, target: Target) -> str | None:
    """Return the canonical name of the package; None where none is wanted, needed or to be had."""
    if project.over_limit.mode != "bundle" or built_in(target) or _python(target) < _OLDEST:
        return None
    return "backports-zstd" if _python(target) >= _BACKPORTED else "pyzstd"


def built_in(target: Target) -> bool:
    """Say whether the runtime's Python decodes zstd by itself."""
    return _python(target) >= _BUILT_IN


def _python(target: Target) -> tuple[int, int]:
    major, minor = target.minor.split(".")
    return int(major), int(minor)
