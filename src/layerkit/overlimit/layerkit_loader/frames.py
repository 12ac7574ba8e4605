"""A package whose large files lie in frames: reading its index, inflating its frames."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from functools import partial

from .decode import decoder
from .errors import BundleError
from .files import pwrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from .decode import Decode

    Read = Callable[[int, int], bytes]

FORMAT = 1  # of the index, which the build knows too
_REQUEST = 8 << 20  # bytes that one request to S3 asks for


class Frames:
    """A package in frames. Its files are laid end to end and cut into stretches, one for each frame."""

    def __init__(self, folder: str, name: str, remote: str) -> None:
        """Read the index `name` in `folder`; `remote` is the address of frames that lie in no layer."""
        with open(os.path.join(folder, name), "rb") as file:
            index: Mapping[str, Any] = json.load(file)
        if index["format"] != FORMAT:
            raise BundleError(f"{name} is of another version of layerkit: build all layers with one version")
        self.mark = name
        self.package: str = index["package"]
        self.modules: Sequence[str] = index["modules"]
        self.folders: Sequence[str] = index["folders"]
        self.files: Sequence[tuple[str, int, bool]] = index["files"]
        self.room: int = index["room"]
        self._codec: str = index["codec"]
        self._frame: int = index["frame"]
        self._digests = [digest for _, digest in index["frames"]]
        self._starts = _sums(size for _, size, _ in self.files)
        self._offsets = _sums(length for length, _ in index["frames"])
        self._remote: str | None = remote if index["remote"] else None
        self._place = os.path.join(folder, index["blob"])

    def jobs(self, part: str) -> Iterator[Callable[[], None]]:
        """Yield what has to be done, in any order and at once, to have the files in `part`."""
        decode, read = decoder(self._codec), self._reader()
        for first, end in self._groups():
            yield partial(self._inflate, first, end, read, decode, part)

    def _reader(self) -> Read:
        """Return what reads a range of the frames."""
        if self._remote is None:
            _read_ahead(self._place)
            return partial(_read, self._place)
        from .remote import reader

        return reader(self._remote, os.path.basename(self._place))

    def _groups(self) -> Iterator[tuple[int, int]]:
        """Yield the stretches of frames that are read at once: one frame, or what one request brings."""
        first, frames = 0, len(self._digests)
        for end in range(1, frames + 1):
            full = self._offsets[end] - self._offsets[first] >= _REQUEST
            if self._remote is None or full or end == frames:
                yield first, end
                first = end

    def _inflate(self, first: int, end: int, read: Read, decode: Decode, part: str) -> None:
        """Read the frames from `first` up to `end`, and write what is in them to where it belongs."""
        base = self._offsets[first]
        packed = read(base, self._offsets[end] - base)
        for number in range(first, end):
            data = packed[self._offsets[number] - base : self._offsets[number + 1] - base]
            if self._remote is not None:
                self._verify(number, data)
            start = number * self._frame
            try:
                content = decode(data, min(self._frame, self._starts[-1] - start))
            except Exception as error:
                self._verify(number, data)
                raise BundleError(f"frame {number} of {self._place} cannot be decoded: {error}") from error
            self._write(start, content, part)

    def _verify(self, number: int, data: bytes) -> None:
        """Hold a frame against its digest."""
        import hashlib

        wanted, found = self._digests[number], hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise BundleError(
                f"frame {number} of {self._place} is damaged: its sha256 is {found} and must be {wanted};"
                " publish the layer again"
            )

    def _write(self, start: int, content: bytes, part: str) -> None:
        """Write the stretch of all files that begins at `start`, each piece into its file."""
        view = memoryview(content)
        number = bisect_right(self._starts, start) - 1
        while view:
            path, size, executable = self.files[number]
            into = start - self._starts[number]
            piece = view[: size - into]
            pwrite(os.path.join(part, path), piece, into, 0o755 if executable else 0o644)
            view, start, number = view[len(piece) :], start + len(piece), number + 1


def _read(path: str, offset: int, length: int) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.pread(handle, length, offset)
    finally:
        os.close(handle)


def _read_ahead(path: str) -> None:
    """Have the system read all frames while the first are inflated, where it takes such a hint."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(handle)


def _sums(numbers: Iterable[int]) -> list[int]:
    """Return the running totals, beginning with 0."""
    totals = [0]
    for number in numbers:
        totals.append(totals[-1] + number)
    return totals
