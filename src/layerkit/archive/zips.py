"""Zips, composed by raw copy of runs or written from new bytes."""

from __future__ import annotations

import os
from struct import pack_into
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive.layout import (
    CENTRAL,
    CENTRAL_OFFSET,
    END,
    END64,
    END64_MAGIC,
    END64_REST,
    END_MAGIC,
    EXTRA,
    EXTRA_ZIP64,
    LOCATOR,
    LOCATOR_MAGIC,
    MAX16,
    MAX32,
    OFFSET,
)
from layerkit.archive.names import collisions
from layerkit.archive.pieces import MADE_BY, write_pieces
from layerkit.archive.problems import ArchiveError
from layerkit.archive.run import DamagedRunError
from layerkit.archive.sink import opened
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from layerkit.archive.pieces import Piece
    from layerkit.archive.run import Entry, Run
    from layerkit.archive.sink import Sink

_NOTHING: Mapping[int, frozenset[str]] = MappingProxyType({})
_NEEDS_ZIP64 = 45  # version 4.5
WIDE = MAX32  # the first offset or length that needs its ZIP64 form


class Composed(Struct, frozen=True, kw_only=True):
    """A finished zip: its size and the sum of its members' content in bytes, its sha256 in hex."""

    size: int
    sha256: str
    unzipped: int
    entries: int


def compose(out: Path, runs: Sequence[Run], *, skip: Mapping[int, frozenset[str]] = _NOTHING) -> Composed:
    """Write the zip that holds `runs` in the order given to `out`, which the caller publishes.

    `skip` names, per index into `runs`, the members to leave out. Raises WheelError when two runs
    hold one name (also after case folding), or a run file is not what its tail says.
    """
    names: list[str] = []
    unzipped = 0
    directory = bytearray()
    with opened(out, hashed=True) as sink:
        for index, run in enumerate(runs):
            base = sink.size
            left_out = skip.get(index, frozenset())
            kept = [entry for entry in run.names() if entry.name not in left_out]
            _copy(sink, run, kept)
            directory += b"".join(_records(run, left_out, base))
            names += [entry.name for entry in kept]
            unzipped += sum(entry.size for entry in kept)
        # Done last, for the hash of what was copied goes on meanwhile.
        if problems := list(collisions(names)):
            raise ArchiveError(out.name, problems)
        return _finish(sink, directory, unzipped, len(names))


def write_zip(out: Path, pieces: Iterable[Piece]) -> Composed:
    """Write a zip of `pieces`, in name order, in the same canonical form as `compose`."""
    with opened(out, hashed=True) as sink:
        written = write_pieces(sink, pieces, out.name)
        return _finish(sink, written.central, written.unzipped, written.entries)


def _finish(sink: Sink, directory: bytearray, unzipped: int, entries: int) -> Composed:
    start = sink.size
    sink.write(directory)
    sink.write(_end(start, len(directory), entries))
    size = sink.size
    return Composed(size=size, sha256=sink.finish(), unzipped=unzipped, entries=entries)


def _copy(sink: Sink, run: Run, kept: Sequence[Entry]) -> None:
    """Append the kept members of a run, as few stretches of bytes as there are.

    All of the run passes by, so that one which rotted in the store reaches no zip.
    """
    try:
        fd = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=str(run.path)) from error
    try:
        if os.fstat(fd).st_size != run.size:
            raise DamagedRunError(run.path)
        sink.crc()
        at = 0
        for start, end in (*_stretches(kept), (run.zipped, run.zipped)):
            sink.pass_over(fd, at, start - at, str(run.path))
            sink.copy(fd, start, end - start, str(run.path))
            at = end
        if sink.crc() != run.crc:
            raise DamagedRunError(run.path)
    finally:
        os.close(fd)


def _stretches(kept: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    start = end = 0
    for entry in kept:
        if entry.offset != end:
            yield start, end
            start = entry.offset
        end = entry.offset + entry.length
    yield start, end


def _records(run: Run, left_out: frozenset[str], base: int) -> Iterator[bytes]:
    """Yield the central records of a run whose first byte lies at `base`, without what is left out."""
    at = gone = 0
    for entry in run.names():
        start, at = at, at + CENTRAL.size + (run.central[at + 28] | run.central[at + 29] << 8)
        if entry.name in left_out:
            gone += entry.length
        else:
            yield _moved(run.central[start:at], base + entry.offset - gone)


def _moved(record: bytes, offset: int) -> bytes:
    """Return a central record with another offset: 64 bits wide, in an extra field, where it must be."""
    if offset < WIDE:
        return record[:CENTRAL_OFFSET] + OFFSET.pack(offset) + record[CENTRAL.size :]
    extra = EXTRA.pack(EXTRA_ZIP64, 8) + offset.to_bytes(8, "little")
    wide = bytearray(record)
    pack_into("<H", wide, 6, _NEEDS_ZIP64)
    pack_into("<H", wide, 30, len(extra))
    OFFSET.pack_into(wide, CENTRAL_OFFSET, MAX32)
    return bytes(wide + extra)


def _end(start: int, length: int, entries: int) -> bytes:
    """Return the end record of a zip, with its ZIP64 forms before it where they are needed."""
    wide = b""
    if entries > MAX16 or start >= WIDE or length >= WIDE:
        values = (entries, entries, length, start)
        wide = END64.pack(END64_MAGIC, END64_REST, MADE_BY, _NEEDS_ZIP64, 0, 0, *values)
        wide += LOCATOR.pack(LOCATOR_MAGIC, 0, start + length, 1)
        entries, length, start = min(entries, MAX16), MAX32, MAX32
    return wide + END.pack(END_MAGIC, 0, 0, entries, entries, length, start, 0)
