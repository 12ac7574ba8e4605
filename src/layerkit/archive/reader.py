"""A zip as it is read: strictly, once, in flat memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, final

from msgspec import Struct

# zlib itself, kept quick: as strict as the standard library's in half the time. docs/prepared-wheels.md has
# the figures. Of what it gives nothing depends on the release.
from zlib_ng import zlib_ng as zlib

from layerkit.archive.examine import examine
from layerkit.archive.layout import CENTRAL, CHUNK, DEFLATED, LOCAL, STORED
from layerkit.archive.member import Member
from layerkit.archive.problems import ArchiveError, Problem
from layerkit.archive.run import DamagedRunError
from layerkit.archive.source import close, pread
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from layerkit.archive.run import Run
    from layerkit.archive.source import Handle, Source

_BROKEN: type[Exception] = zlib.error  # type: ignore[assignment]  # its stub gives it as an instance


@final
class Archive(Struct, kw_only=True, eq=False):
    """An open archive that passed every check but those that need inflating.

    `members` are its files in the order of their bytes, `folders` its directory entries. `notes` are
    sentences about what was accepted and put right. Reading is safe from several threads at once.
    """

    path: Path
    name: str
    members: tuple[Member, ...]
    notes: tuple[str, ...]
    fd: Handle
    folders: tuple[Member, ...] = ()

    @classmethod
    def open(cls, path: Path, *, name: str | None = None, links: bool = False) -> Archive:
        """Open and check the archive at `path`; `name` is what errors call it (default: its file name).

        With `links` symbolic links are members, for who unpacks nothing. Raises ArchiveError (a WheelError)
        with all problems, StorageError where it cannot be read.
        """
        name = path.name if name is None else name
        fd = -1
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            found = examine(fd, os.fstat(fd).st_size, name, links=links)
        except BaseException as error:
            if fd >= 0:
                os.close(fd)
            if isinstance(error, OSError):
                raise StorageError(f"cannot be read: {error.strerror}", where=name) from error
            raise
        return cls(
            path=path, name=name, members=found.members, folders=found.folders, notes=found.notes, fd=fd
        )

    @classmethod
    def of_source(cls, source: Source, name: str) -> Archive:
        """Open and check an archive that lies elsewhere; the source is closed with it.

        Raises ArchiveError with all problems, and what the source raises. It is for one thread.
        """
        found = examine(source, source.size, name)
        return cls(path=Path(name), name=name, members=found.members, notes=found.notes, fd=source)

    @classmethod
    def of_run(cls, run: Run) -> Archive:
        """Open the members of a run, which was written here and is only proved to be what it was.

        Raises DamagedRunError, and StorageError where it cannot be read.
        """
        archive = cls._of_file(run.path, tuple(_members(run)))
        crc = 0
        for part in archive._stream(_whole(run.path.name, run.zipped)):  # noqa: SLF001 - its own
            crc = zlib.crc32(part, crc)
        if crc != run.crc:
            archive.close()
            raise DamagedRunError(run.path)
        return archive

    @classmethod
    def of_file(cls, path: Path, *, crc: int) -> Archive:
        """Open a plain file as an archive of one stored member, whose CRC-32 is known."""
        return cls._of_file(path, (_whole(path.name, path.stat().st_size, crc),))

    @classmethod
    def _of_file(cls, path: Path, members: tuple[Member, ...]) -> Archive:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", where=str(path)) from error
        return cls(path=path, name=path.name, members=members, notes=(), fd=fd)

    @property
    def proved(self) -> str | None:
        """Return the sha256 of an archive that lies elsewhere; None of a file, which anybody may read."""
        return None if isinstance(self.fd, int) else self.fd.sha256

    def __enter__(self) -> Archive:
        """Return the archive itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; members can no longer be read."""
        if self.fd != -1:
            close(self.fd)
            self.fd = -1

    def read(self, member: Member) -> bytes:
        """Return the member's bytes, inflated, with size and CRC verified; ArchiveError if not."""
        if member.packed > CHUNK or member.size > CHUNK:
            return b"".join(self.chunks(member))
        # Most members are small; one call each for the file, zlib and the CRC keeps them cheap.
        data = self.raw(member)
        if member.method == DEFLATED:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                data = inflate.decompress(data, member.size + 1)
            except _BROKEN as error:
                raise self._damaged(member) from error
            if len(data) <= member.size:
                self._check_stream(member, inflate)
        self._check_content(member, len(data), zlib.crc32(data))
        return data

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the member's bytes, inflated, in pieces of at most 1 MiB.

        Size and CRC are known to be right only when the iterator has ended without ArchiveError.
        """
        size = crc = 0
        for chunk in self._inflate(member) if member.method == DEFLATED else self._stream(member):
            size += len(chunk)
            if size > member.size:
                break
            crc = zlib.crc32(chunk, crc)
            yield chunk
        self._check_content(member, size, crc)

    def raw(self, member: Member) -> bytes:
        """Return the member's stream as it is stored, compressed."""
        return b"".join(self._stream(member)) if member.packed > CHUNK else self._pread(member, 0)

    def reach(self, member: Member, length: int) -> int:
        """Return how many of a deflated member's bytes the first `length` bytes of its stream hold.

        `length` is at most 1 MiB and shorter than the stream, which was read and verified before.
        """
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return len(inflate.decompress(self._pread(member, 0)[:length]))

    def _pread(self, member: Member, at: int) -> bytes:
        """Return the member's raw bytes from `at` on, at most one chunk of them."""
        length = min(CHUNK, member.packed - at)
        try:
            data = pread(self.fd, length, member.offset + at)
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", where=self.name) from error
        if len(data) != length:
            raise self._refuse(member, "file-truncated", "was cut short while it was read")
        return data

    def _stream(self, member: Member) -> Iterator[bytes]:
        for at in range(0, member.packed, CHUNK):
            yield self._pread(member, at)

    def _inflate(self, member: Member) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        for raw in self._stream(member):
            if inflate.eof:
                raise self._behind(member)
            rest, full = raw, True
            # zlib may hold back output when it has taken all input: a full chunk asks for another one.
            while (rest or full) and not inflate.eof:
                try:
                    chunk = inflate.decompress(rest, CHUNK)
                except _BROKEN as error:
                    raise self._damaged(member) from error
                rest, full = inflate.unconsumed_tail, len(chunk) == CHUNK
                yield chunk
        self._check_stream(member, inflate)

    def _check_stream(self, member: Member, inflate: zlib._Decompress) -> None:
        if not inflate.eof:
            raise self._refuse(member, "deflate-unfinished", "holds a stream that breaks off")
        if inflate.unused_data:
            raise self._behind(member)

    def _check_content(self, member: Member, size: int, crc: int) -> None:
        if size != member.size:
            more = "more" if size > member.size else "fewer"
            raise self._refuse(member, "content-size", f"holds {more} bytes than the {member.size} it says")
        if crc != member.crc:
            raise self._refuse(member, "content-crc", "has content that does not match its CRC")

    def _damaged(self, member: Member) -> ArchiveError:
        return self._refuse(member, "deflate-damaged", "holds a damaged stream")

    def _behind(self, member: Member) -> ArchiveError:
        return self._refuse(member, "deflate-bytes-behind", "has bytes behind the end of its stream")

    def _refuse(self, member: Member, case: str, text: str) -> ArchiveError:
        return ArchiveError(self.name, [Problem(case=case, text=text, member=member.name)])


def _whole(name: str, size: int, crc: int = 0) -> Member:
    """Return all of a file as one stored member."""
    return Member(name=name, method=STORED, crc=crc, packed=size, size=size, offset=0, executable=False)


def _members(run: Run) -> Iterator[Member]:
    """Yield the members of a run in name order, from its central records."""
    at = 0
    for _ in range(run.entries):
        _, _, _, _, method, _, _, crc, packed, size, length, _, _, _, _, attributes, start = (
            CENTRAL.unpack_from(run.central, at)
        )
        at += CENTRAL.size
        yield Member(
            name=run.central[at : at + length].decode(),
            method=method,
            crc=crc,
            packed=packed,
            size=size,
            offset=start + LOCAL.size + length,
            executable=attributes >> 16 & 0o111 != 0,
        )
        at += length
