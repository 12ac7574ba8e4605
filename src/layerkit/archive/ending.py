"""The end of a zip: where its central directory lies, and how many entries it must have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive.layout import (
    CENTRAL_MAGIC,
    END,
    END64,
    END64_MAGIC,
    END64_REST,
    END_MAGIC,
    LOCAL_MAGIC,
    LOCATOR,
    LOCATOR_MAGIC,
    MAX16,
    MAX32,
)
from layerkit.archive.problems import Problem
from layerkit.archive.source import pread

if TYPE_CHECKING:
    from layerkit.archive.source import Handle

_MAX_DIRECTORY = 32 << 20  # bytes; ten times what the largest wheels have
_HEAD = 512


class EndingError(Exception):
    """An archive that nothing can be read from, because its end is missing or lies."""

    def __init__(self, case: str, text: str) -> None:
        """Keep the one problem."""
        super().__init__(text)
        self.problem = Problem(case=case, text=text)


class Ending(Struct, frozen=True, kw_only=True):
    """The central directory's place, in bytes, and its count of entries; `nuls` is trailing padding."""

    start: int
    length: int
    entries: int
    nuls: int


def read_ending(fd: Handle, size: int) -> Ending:
    """Find and check the end records of the file of `size` bytes behind `fd`; EndingError if they lie."""
    if not size:
        raise EndingError("file-empty", "is empty")
    # The longest comment is all that may lie behind the end record.
    tail_start = max(0, size - END.size - MAX16)
    tail = pread(fd, size - tail_start, tail_start)
    at = _find_end(fd, tail)
    _, disk, directory_disk, here, entries, length, start, comment = END.unpack_from(tail, at)
    directory_end, wide = _zip64(fd, tail_start + at)
    if wide is not None:
        claims = zip((disk, directory_disk, here, entries, length, start), wide, _LIMITS, strict=True)
        if any(narrow not in (limit, true) for narrow, true, limit in claims):
            raise EndingError("zip64-dishonest", "has a ZIP64 end record that disagrees with its end record")
        disk, directory_disk, here, entries, length, start = wide
    if disk or directory_disk:
        raise EndingError("many-disks", "is one part of an archive that was split")
    if here != entries:
        raise EndingError("entry-count", f"has {here} entries on its only disk, but {entries} in all")
    if length > _MAX_DIRECTORY:
        raise EndingError("too-many-entries", f"has a central directory above {_MAX_DIRECTORY:,} bytes")
    _check_place(fd, start, length, directory_end)
    nuls = len(tail) - at - END.size - comment
    return Ending(start=start, length=length, entries=entries, nuls=nuls)


_LIMITS = (MAX16, MAX16, MAX16, MAX16, MAX32, MAX32)


def _find_end(fd: Handle, tail: bytes) -> int:
    """Return where in `tail` the end record stands: the only one that reaches the end of the file."""
    solid = len(tail.rstrip(b"\0"))
    ends, others = [], 0
    at = tail.rfind(END_MAGIC)
    while at >= 0:
        stop = at + END.size + int.from_bytes(tail[at + END.size - 2 : at + END.size], "little")
        if solid <= stop <= len(tail):
            ends.append((at, stop))
        else:
            others += stop < solid
        at = tail.rfind(END_MAGIC, 0, at)
    if not ends:
        raise _no_end(pread(fd, _HEAD, 0), bytes_behind=others > 0)
    at, stop = ends[0]
    comment = tail[at + END.size : stop]
    if len(ends) > 1 or any(magic in comment for magic in (LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC)):
        raise EndingError("archive-in-comment", "hides an archive in its comment")
    return at


def _no_end(head: bytes, *, bytes_behind: bool) -> EndingError:
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return EndingError("file-html", "is an HTML or XML page, not an archive")
    if bytes_behind:
        return EndingError("bytes-behind", "has bytes behind its end record")
    if head.startswith(LOCAL_MAGIC):
        return EndingError("file-truncated", "is truncated: its end is missing")
    return EndingError("file-no-zip", "is not a zip archive")


def _zip64(fd: Handle, end_at: int) -> tuple[int, tuple[int, ...] | None]:
    """Return where the directory must end, and the values of the ZIP64 end record if there is one."""
    locator_at = end_at - LOCATOR.size
    locator = pread(fd, LOCATOR.size, locator_at) if locator_at >= 0 else b""
    if not locator.startswith(LOCATOR_MAGIC):
        return end_at, None
    _, disk, at, disks = LOCATOR.unpack(locator)
    record = pread(fd, END64.size, at) if at < end_at else b""
    if disk or disks > 1 or len(record) != END64.size or not record.startswith(END64_MAGIC):
        raise EndingError("zip64-dishonest", "has a ZIP64 locator that points at no ZIP64 end record")
    _, rest, _, _, *values = END64.unpack(record)
    if rest != END64_REST or at + END64.size != locator_at:
        raise EndingError("zip64-extensible-data", "has a ZIP64 end record with extensible data")
    return at, tuple(values)


def _check_place(fd: Handle, start: int, length: int, directory_end: int) -> None:
    if start + length == directory_end:
        return
    shifted = directory_end - length
    # The whole archive moved: offsets count from behind something that was put before it.
    if shifted > start and pread(fd, 4, shifted - start) in (LOCAL_MAGIC, END_MAGIC):
        raise EndingError("bytes-before", f"has {shifted - start} bytes before its first entry")
    raise EndingError("directory-misplaced", "has its central directory elsewhere than its end record says")
