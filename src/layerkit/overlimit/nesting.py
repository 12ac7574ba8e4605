"""A prepared wheel with all that Python imports in a zip inside, as older tools nest it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from layerkit.archive import Piece, write_zip
from layerkit.overlimit import places
from layerkit.overlimit.remaking import Change, remade, room, taken

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.overlimit.remaking import Source
    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

SUFFIX = ".requirements.zip"
_CHUNK = 1 << 20


def nested(wheel: PreparedWheel, site: str, store: Store) -> PreparedWheel:
    """Return the wheel in that form; the zip's streams are those of the wheel, nothing is inflated."""
    return remade(["nested"], wheel, site, store, _nest)


def _nest(source: Source) -> Change:
    moved = {name: member for name, member in source.inside.items() if places.may_move(name)}
    path = source.folder / "zip"
    zipped = write_zip(path, (Piece.copy(source.archive, member, name) for name, member in moved.items()))
    name = f"{places.FOLDER}/{source.wheel.name}-{zipped.sha256[:16]}{SUFFIX}"
    return Change(
        moved=frozenset(moved),
        added=[taken(source, name, path, zipped.sha256, _crc(path))],
        unpacked=room(member.size for member in moved.values()),
    )


def _crc(path: Path) -> int:
    """Return the CRC-32 of a file's content."""
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc
