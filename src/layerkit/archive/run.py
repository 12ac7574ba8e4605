"""A run: finished zip members back to back, with the records that a central directory needs.

A run file holds, in this order: the members; their central records, offsets counted from the first
member; `info`, opaque bytes of the caller; a footer of fixed size with the lengths, a CRC over the
members and one over everything else. Its tail is all that planning and collision checks have to read, and
may stand in a file of its own; what the members hold is checked when they are copied.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from layerkit.archive.layout import CENTRAL
from layerkit.archive.pieces import write_pieces
from layerkit.archive.problems import ArchiveError, Problem
from layerkit.archive.sink import opened
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layerkit.archive.pieces import Piece

# length of members, their content, count of members, length of central records, of info; CRC of the
# members, CRC of all that is not them; magic
_FOOTER = struct.Struct("<5QLL8s")
_CRC_AT = 44
_MAGIC = b"layerun2"


class Entry(NamedTuple):
    """Where a member lies in a run: `length` counts its local header; `crc` and `size` are unpacked."""

    name: str
    offset: int
    length: int
    crc: int
    size: int


class Run(Struct, kw_only=True, eq=False):
    """The tail of a run file; `zipped` bytes of members, `unzipped` their content, `info` the caller's.

    `crc` is the CRC-32 of the members as they lie in the file.
    """

    path: Path
    zipped: int
    unzipped: int
    entries: int
    crc: int
    central: bytes
    info: bytes
    _names: list[Entry] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, *, whole: bool = True) -> Run:
        """Read the tail of the run file at `path`, or the file of a tail alone.

        Raises WheelError when it is damaged or no run at all.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return cls._read(path, fd, whole=whole)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", where=str(path)) from error

    @classmethod
    def _read(cls, path: Path, fd: int, *, whole: bool) -> Run:
        size = os.fstat(fd).st_size
        footer = os.pread(fd, _FOOTER.size, max(0, size - _FOOTER.size))
        if len(footer) != _FOOTER.size or not footer.endswith(_MAGIC):
            raise DamagedRunError(path)
        zipped, unzipped, entries, central_length, info_length, members, crc, _ = _FOOTER.unpack(footer)
        start = zipped if whole else 0
        if start + central_length + info_length + _FOOTER.size != size:
            raise DamagedRunError(path)
        tail = os.pread(fd, central_length + info_length, start)
        if zlib.crc32(footer[:_CRC_AT], zlib.crc32(tail)) != crc:
            raise DamagedRunError(path)
        central, info = tail[:central_length], tail[central_length:]
        return cls(
            path=path,
            zipped=zipped,
            unzipped=unzipped,
            entries=entries,
            crc=members,
            central=central,
            info=info,
        )

    @property
    def size(self) -> int:
        """Return the size of the run file in bytes."""
        return self.zipped + len(self.central) + len(self.info) + _FOOTER.size

    def tail(self) -> bytes:
        """Return the file without its members, as `open` reads it where it is not whole."""
        with self.path.open("rb") as file:
            file.seek(self.zipped)
            return file.read()

    def names(self) -> list[Entry]:
        """Return the members in name order, parsed once; the list is not to be changed."""
        if not self._names:
            self._names.extend(self._parse())
        return self._names

    def _parse(self) -> Iterator[Entry]:
        central, unpack = self.central, CENTRAL.unpack_from
        starts = []
        at = 0
        for _ in range(self.entries):
            values = unpack(central, at)
            at += CENTRAL.size
            starts.append((central[at : at + values[10]].decode(), values[16], values[7], values[9]))
            at += values[10]
        ends = [start[1] for start in starts[1:]] + [self.zipped]
        for (name, offset, crc, size), end in zip(starts, ends, strict=False):
            yield Entry(name, offset, end - offset, crc, size)


class DamagedRunError(ArchiveError):
    """A run file is not what it was when it was written; `path` is the file to be made anew."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        super().__init__(str(path), [Problem(case="run-damaged", text="is a damaged prepared wheel")])
        self.path = path


def write_run(path: Path, pieces: Iterable[Piece], info: bytes) -> None:
    """Write the run file of `pieces`, in name order, to `path`, which the caller publishes.

    Raises WheelError for names that may not be, are there twice, or are one after case folding.
    """
    with opened(path, hashed=False) as sink:
        written = write_pieces(sink, pieces, path.name)
        lengths = (sink.size, written.unzipped, written.entries, len(written.central), len(info))
        members = sink.crc()
        sink.write(written.central)
        sink.write(info)
        footer = _FOOTER.pack(*lengths, members, 0, _MAGIC)
        crc = zlib.crc32(footer[:_CRC_AT], zlib.crc32(info, zlib.crc32(written.central)))
        sink.write(_FOOTER.pack(*lengths, members, crc, _MAGIC))
        sink.finish()
