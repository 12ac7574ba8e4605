"""Tar archives, the only way files go into a container and come out of it.

Written and read as streams, a chunk at a time, so that size costs no memory. What comes out is as
hostile as what built it: a name that leads elsewhere, a link or a device is refused.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import IO, TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import EngineError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CHUNK = 1 << 18
_BLOCK = tarfile.BLOCKSIZE
# 1980-01-01, the date that every zip of ours carries.
_TIME = 315_532_800


class Entry(Struct, frozen=True, kw_only=True):
    """A file to put into a container: its name below the folder, and bytes or a path to read.

    With neither it is a folder, with `link` a symbolic link. `user` and `group` are numbers in the
    container.
    """

    name: str
    content: bytes | None = None
    path: Path | None = None
    link: str = ""
    mode: int = 0o644
    user: int = 0
    group: int = 0


def pack(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Give the bytes of a tar archive of these entries. Raises StorageError for an unreadable file."""
    for entry in entries:
        yield from _packed(entry)
    yield b"\0" * (2 * _BLOCK)


def _packed(entry: Entry) -> Iterator[bytes]:
    """Give header, content and filling of one entry."""
    info = tarfile.TarInfo(entry.name)
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.user, entry.group, _TIME
    if entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        yield info.tobuf(tarfile.PAX_FORMAT)
        return
    if entry.path is None and entry.content is None:
        info.type = tarfile.DIRTYPE
        info.mode |= 0o111
        yield info.tobuf(tarfile.PAX_FORMAT)
        return
    try:
        with io.BytesIO(entry.content or b"") if entry.path is None else entry.path.open("rb") as source:
            info.size = source.seek(0, os.SEEK_END)
            source.seek(0)
            yield info.tobuf(tarfile.PAX_FORMAT)
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise StorageError(f"the file cannot be read: {error.strerror}", where=str(entry.path)) from error
    yield b"\0" * (-info.size % _BLOCK)


class Stream(io.RawIOBase):
    """A file to read from an iterator of chunks, such as the body of a response."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        """Keep the chunks; none is taken yet."""
        super().__init__()
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        """Say that it can be read, which io wants to know."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end only; all of the rest for a negative size."""
        parts, missing = [], size
        while missing:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            part = self._rest if missing < 0 else self._rest[:missing]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            missing -= len(part) if missing > 0 else 0
        return b"".join(parts)


def unpack(
    found: Iterable[tuple[tarfile.TarInfo, IO[bytes] | None]], folder: Path, *, most: int
) -> tuple[Path, ...]:
    """Write the regular files among the members of an archive below a folder; return their paths.

    Raises EngineError for more than `most` bytes, StorageError when they cannot be written.
    """
    written: list[Path] = []
    for info, content in found:
        if info.isdir():
            continue
        most -= info.size
        if most < 0:
            raise EngineError("the container gave more than it may", where=info.name)
        path = folder / info.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as target:
                while content is not None and (chunk := content.read(_CHUNK)):
                    target.write(chunk)
        except OSError as error:
            raise StorageError(f"the file cannot be written: {error.strerror}", where=str(path)) from error
        written.append(path)
    return tuple(written)


def members(
    chunks: Iterable[bytes], *, links: bool = False
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Give each member of an archive with its content, which must be read before the next is asked for.

    Only folders and regular files pass, with `links` symbolic links too (what they point to is for
    the caller to judge). Names are relative and stay below the folder they are meant for.
    """
    try:
        with tarfile.open(fileobj=Stream(chunks), mode="r|") as archive:
            for info in archive:
                _refuse(info, links=links)
                yield info, archive.extractfile(info) if info.isfile() else None
    except tarfile.TarError as error:
        raise EngineError(f"the archive from the container is broken: {error}") from error


def _refuse(info: tarfile.TarInfo, *, links: bool) -> None:
    """Refuse a member that is no plain thing at a plain place."""
    parts = info.name.split("/")
    if info.name.startswith("/") or ".." in parts or "\0" in info.name or not info.name.strip("/"):
        raise EngineError("the archive from the container leads out of its folder", where=repr(info.name))
    if not (info.isdir() or info.isfile() or (links and info.issym())):
        raise EngineError("the archive from the container has a link or a device in it", where=info.name)
