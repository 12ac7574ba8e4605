"""Pieces: files on their way into a run or a zip, and the one form in which they are written."""

from __future__ import annotations

import zlib
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

from layerkit.archive.layout import (
    CENTRAL,
    CENTRAL_MAGIC,
    DEFLATED,
    LOCAL,
    LOCAL_MAGIC,
    MAX32,
    STORED,
    UTF8,
)
from layerkit.archive.names import bad_name, collisions
from layerkit.archive.problems import ArchiveError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerkit.archive.member import Member
    from layerkit.archive.sink import Sink
    from layerkit.archive.source import Handle

# Of libdeflate's levels the one after which time grows and size hardly shrinks: docs/prepared-wheels.md
# has the figures. Another level, or another release of libdeflate, gives other bytes: see `compressed`.
LEVEL = 6
_NEEDED = 20  # version 2.0: folders and deflate
MADE_BY = 3 << 8 | _NEEDED  # Unix, so that modes count
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00:00
_FILE = 0o100644 << 16
_EXECUTABLE = 0o100755 << 16


class Holder(Protocol):
    """What members are copied from: an open archive, or a spool."""

    @property
    def fd(self) -> Handle:
        """Return the file that the members lie in, open for reading."""

    @property
    def name(self) -> str:
        """Return what errors call it."""


class Piece(Struct, frozen=True, kw_only=True):
    """One file to be written: new bytes, or the stream of a member taken over as it is.

    `data` is the new content, something to call for it when its turn comes (so that one file at a
    time is in memory), or the open source and the member in it that holds the content.
    """

    name: str
    data: bytes | Callable[[], bytes] | tuple[Holder, Member]
    executable: bool = False

    @classmethod
    def copy(cls, archive: Holder, member: Member, name: str | None = None) -> Piece:
        """Return the piece that keeps `member` unchanged, under its own or another name.

        The archive must stay open until the piece is written.
        """
        name = member.name if name is None else name
        return cls(name=name, data=(archive, member), executable=member.executable)


class Written(NamedTuple):
    """What was written of pieces: their central records, offsets counted from the first one's start."""

    central: bytearray
    unzipped: int
    entries: int


def write_pieces(sink: Sink, pieces: Iterable[Piece], archive: str) -> Written:
    """Write the members of `pieces`, in name order, to `sink`, which stands at its beginning.

    ArchiveError, under the name `archive`, for names that may not be or collide, and for what
    cannot be said without ZIP64: a layer is far smaller.
    """
    ordered = sorted(pieces, key=attrgetter("name"))
    _check_names([piece.name for piece in ordered], archive)
    central, unzipped = bytearray(), 0
    for piece in ordered:
        offset = sink.size
        data = piece.data() if callable(piece.data) else piece.data
        if isinstance(data, bytes):
            method, body = compressed(data)
            crc, packed, size = zlib.crc32(data), len(body), len(data)
        else:
            source, member = data
            method, crc, packed, size = member.method, member.crc, member.packed, member.size
        if max(packed, size, offset) >= MAX32:
            problem = Problem(case="too-large", text="does not fit into 4 GiB", member=piece.name)
            raise ArchiveError(archive, [problem])
        name = piece.name.encode()
        flags = 0 if piece.name.isascii() else UTF8
        head = LOCAL.pack(LOCAL_MAGIC, _NEEDED, flags, method, _TIME, _DATE, crc, packed, size, len(name), 0)
        sink.write(head + name)
        if isinstance(data, bytes):
            sink.write(body)
        else:
            sink.copy(source.fd, member.offset, packed, source.name)
        central += _central(head, name, offset, executable=piece.executable)
        unzipped += size
    return Written(central, unzipped, len(ordered))


def _check_names(names: list[str], archive: str) -> None:
    problems = [problem for name in names if (problem := bad_name(name))]
    problems += collisions(names)
    if problems:
        raise ArchiveError(archive, problems)


def compressed(data: bytes | bytearray) -> tuple[int, bytes | bytearray]:
    """Return the method and stream for new content: deflated, unless that does not make it smaller.

    libdeflate gives the same stream on every machine, which zlib does not: there are several of it, and
    Python is built with any. What decides the stream is the level and the release of libdeflate, hence the
    narrow range of `deflate` in pyproject.toml; whoever widens it raises `prepare.RECIPE`.
    """
    import deflate  # a warm build packs nothing

    packed = deflate.deflate_compress(data, LEVEL)
    return (DEFLATED, packed) if len(packed) < len(data) else (STORED, data)


def _central(head: bytes, name: bytes, offset: int, *, executable: bool) -> bytes:
    """Return the central record of a member whose local header is `head`."""
    shared = LOCAL.unpack(head)[2:]
    attributes = _EXECUTABLE if executable else _FILE
    return CENTRAL.pack(CENTRAL_MAGIC, MADE_BY, _NEEDED, *shared, 0, 0, 0, attributes, offset) + name
