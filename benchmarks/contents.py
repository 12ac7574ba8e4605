"""What a tool really left behind: its figure counts only if every pinned package is in it."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

from index import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

METADATA = re.compile(r"(?:.*/)?([^/]+)-([^/-]+)\.dist-info/METADATA")


def packages(names: Iterable[str]) -> frozenset[str]:
    """Return the `package==version` of every METADATA among the names of files."""
    found = (METADATA.fullmatch(name) for name in names)
    return frozenset(f"{canonical(match[1])}=={match[2]}" for match in found if match)


def files(product: Path) -> list[str]:
    """Return the names of the files in a zip or a folder."""
    if product.is_dir():
        return [path.as_posix() for path in product.rglob("METADATA")]
    with zipfile.ZipFile(product) as archive:
        return archive.namelist()


def differences(cwd: Path, product: str, pins: Iterable[str]) -> str | None:
    """Return what is missing from or added to the products that match the glob, None if nothing is."""
    held = packages(name for path in cwd.glob(product) for name in files(path))
    wanted = frozenset(pins)
    missing, more = sorted(wanted - held), sorted(held - wanted)
    parts = [f"{word} {', '.join(some)}" for word, some in (("without", missing), ("with", more)) if some]
    return " and ".join(parts) or None
