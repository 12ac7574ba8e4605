"""Wheels that are read where they lie, for machines whose disk is smaller than the wheel.

    source = open_remote(ref, credentials, folder, room)

All of the wheel passes by once, to be hashed, and what is read often stays on disk: its directory, its
headers and its small files, up to `room` bytes. The bodies of the largest files are asked for again, by
ranges, whenever somebody reads them. For that the server has to give ranges, as every large index does.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from layerkit.errors import StorageError, WheelError
from layerkit.fetch.answers import AgainError, Body
from layerkit.fetch.asking import PART, UNRANGED, Asking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

    from layerkit.fetch.answers import Downloadable
    from layerkit.fetch.credentials import Credentials

_CHUNK = 1 << 20
_TAIL = 1 << 18  # bytes that come first: the directories of most wheels are smaller
_LARGE = 1 << 20  # packed bytes from which on a file's body may stay on the server
_HEAD = (
    1 << 17
)  # bytes of such a file that are kept all the same: its header, with the longest name and extra
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


class _Hole(Struct, frozen=True):
    """A stretch that is not on disk."""

    start: int
    stop: int


class _Stream(Struct):
    """A request that is being read: where the next byte of it lies, and what came and was not asked for."""

    at: int
    response: BaseHTTPResponse
    chunks: Iterator[bytes]
    left: bytearray = field(default_factory=bytearray)


class RemoteWheel:
    """A wheel that lies on a server: a source for `archive`. For one thread."""

    def __init__(self, asking: Asking, fd: int, size: int, holes: list[_Hole]) -> None:
        """Take what `open_remote` has found."""
        self._asking, self._fd, self._size, self._holes = asking, fd, size, holes
        self._stream: _Stream | None = None

    @property
    def size(self) -> int:
        """Return the wheel's bytes."""
        return self._size

    @property
    def name(self) -> str:
        """Return the wheel's file name."""
        return self._asking.ref.filename

    @property
    def sha256(self) -> str:
        """Return the wheel's digest."""
        return self._asking.ref.sha256

    @property
    def kept(self) -> int:
        """Return how many of them are on disk."""
        return self._size - sum(hole.stop - hole.start for hole in self._holes)

    def pread(self, length: int, offset: int) -> bytes:
        """Return bytes from disk, and from the server what is not there. Raises NetworkError."""
        stop, data = min(offset + length, self._size), bytearray()
        while offset < stop:
            hole = next((one for one in self._holes if one.start <= offset < one.stop), None)
            if hole is None:
                end = min([stop, *(one.start for one in self._holes if one.start > offset)])
                data += os.pread(self._fd, end - offset, offset)
            else:
                end = min(stop, hole.stop)
                data += self._fetch(offset, end, hole.stop)
            offset = end
        return bytes(data)

    def _fetch(self, start: int, stop: int, last: int) -> bytes:
        """Return a stretch from the server, asked for up to `last`: what follows is mostly read next."""
        return self._asking.persist(lambda: self._read(start, stop, last))

    def _read(self, start: int, stop: int, last: int) -> bytes:
        try:
            return self._continued(start, stop, last)
        except AgainError:
            self._end()
            raise

    def _continued(self, start: int, stop: int, last: int) -> bytes:
        if self._stream is None or self._stream.at != start:
            self._end()
            response = self._asking.get(f"bytes={start}-{last - 1}")
            self._stream = _Stream(start, response, response.stream(_CHUNK, decode_content=False))
        stream = self._stream
        with self._asking.broken():
            while len(stream.left) < stop - start:
                chunk = next(stream.chunks, b"")
                if not chunk:
                    raise AgainError(f"the body ended at byte {start + len(stream.left):,} of {last:,}")
                stream.left += chunk
        data = bytes(stream.left[: stop - start])
        del stream.left[: stop - start]
        stream.at = stop
        return data

    def _end(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.response.close()
            self._stream = None

    def close(self) -> None:
        """Let go of the file and of the connections."""
        self._end()
        os.close(self._fd)
        self._asking.close()


def open_remote(
    ref: Downloadable, credentials: Credentials, folder: Path, room: int, most: int | None = None
) -> RemoteWheel:
    """Open a wheel on a server; its hash is proved. What is kept of it lies in `folder`, without a name.

    That is `room` bytes, more only where its small files, or a server that gives no ranges, ask for it, and
    never above `most`. Raises NetworkError where it cannot be had, WheelError where it is another file,
    StorageError where there is too little room.
    """
    most = max(room, most or 0)
    asking = Asking(ref, credentials)
    fd = _nameless(folder)
    try:
        size, whole = _look(asking, fd, most)
        holes: list[_Hole] = []
        if not whole:
            if size > room:
                tail = RemoteWheel(asking, fd, size, [_Hole(0, max(0, size - _TAIL))])
                holes = _holes(tail, size - room, most - room)
            _pass_by(asking, fd, size, holes)
        return RemoteWheel(asking, fd, size, holes)
    except BaseException:
        os.close(fd)
        asking.close()
        raise


def _nameless(folder: Path) -> int:
    """Return a file that is gone when it is closed."""
    from tempfile import TemporaryFile

    try:
        with TemporaryFile(dir=folder) as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(folder)) from error


def _look(asking: Asking, fd: int, room: int) -> tuple[int, bool]:
    """Read the end of the wheel into the file; return its size, and whether all of it came."""

    def read(response: BaseHTTPResponse) -> tuple[int, bool]:
        if response.status == PART:
            found = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
            size = int(found[1]) if found else 0
            _save(response, fd, max(0, size - _TAIL))
            return size, False
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > room:
            what = f"it has {int(announced):,} bytes, and there is room for {room:,}"
            raise StorageError(f"{what}; its server gives no ranges", where=asking.ref.filename, fix=UNRANGED)
        body = Body(asking.ref)
        size = _save(response, fd, 0, body.take)
        body.verify(asking.ref.url or "", complete=announced == str(body.count))
        return size, True

    return asking.answered(lambda: asking.get(f"bytes=-{_TAIL}", whole=True), read)


def _holes(tail: RemoteWheel, excess: int, spare: int) -> list[_Hole]:
    """Return what shall not stay on disk: bodies of files, the largest first, until `excess` is saved.

    Raises StorageError where more than `spare` bytes of these would have to stay.
    """
    try:
        reader = io.BufferedReader(_Seekable(tail), _CHUNK)
        members = zipfile.ZipFile(reader).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise WheelError(f"is no zip that can be read: {error}", where=tail.name) from None
    holes = []
    for member in sorted(members, key=lambda one: -one.compress_size):
        if excess <= 0 or member.compress_size < _LARGE:
            break
        start, stop = member.header_offset + _HEAD, member.header_offset + member.compress_size
        holes.append(_Hole(start, min(stop, tail.size)))
        excess -= holes[-1].stop - holes[-1].start
    if excess > spare:
        what = f"its small files alone have {excess - spare:,} bytes more than there is room for"
        raise StorageError(what, where=tail.name, fix="give the function more ephemeral storage")
    return sorted(holes, key=lambda hole: hole.start)


def _pass_by(asking: Asking, fd: int, size: int, holes: list[_Hole]) -> None:
    """Have all of the wheel come by, hash it, and write down what is in no hole."""
    body, at = Body(asking.ref), 0

    def take(response: BaseHTTPResponse) -> None:
        nonlocal at
        with asking.broken():
            for chunk in response.stream(_CHUNK, decode_content=False):
                body.take(chunk)
                _write(fd, chunk, at, holes)
                at += len(chunk)
        if at < size:
            raise AgainError(f"the body ended after {at:,} of {size:,} bytes")

    asking.answered(lambda: asking.get(f"bytes={at}-"), take)
    body.verify(asking.ref.url or "", complete=True)


def _write(fd: int, chunk: bytes, at: int, holes: list[_Hole]) -> None:
    """Write those parts of a stretch that are in no hole."""
    stop = at + len(chunk)
    start = at
    for hole in holes:
        if start < hole.start < stop:
            os.pwrite(fd, chunk[start - at : hole.start - at], start)
        if hole.start < stop and hole.stop > start:
            start = max(start, hole.stop)
    if start < stop:
        os.pwrite(fd, chunk[start - at :], start)


def _save(
    response: BaseHTTPResponse, fd: int, at: int, heard: Callable[[bytes], None] = lambda _chunk: None
) -> int:
    """Write a body to the file from `at` on; return where it ended."""
    for chunk in response.stream(_CHUNK, decode_content=False):
        heard(chunk)
        os.pwrite(fd, chunk, at)
        at += len(chunk)
    return at


class _Seekable(io.RawIOBase):
    """A wheel as the standard library's reader wants it."""

    def __init__(self, wheel: RemoteWheel) -> None:
        self._wheel, self._at = wheel, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._wheel.size}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._wheel.pread(len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
