"""The headers of a zip, held against each other: what the central directory says must be so."""

from __future__ import annotations

import stat
from itertools import islice
from operator import attrgetter
from struct import pack
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from layerkit.archive.ending import Ending, EndingError, read_ending
from layerkit.archive.extra import ExtraError, fields, widen
from layerkit.archive.layout import (
    CENTRAL,
    CENTRAL_MAGIC,
    DEFLATED,
    DESCRIPTOR,
    DESCRIPTOR_MAGIC,
    ENCRYPTED,
    EXTRA_TIMESTAMP,
    EXTRA_ZIP64,
    KNOWN_FLAGS,
    LEVEL,
    LOCAL,
    LOCAL_MAGIC,
    MAX32,
    SHARED_IN_CENTRAL,
    SHARED_IN_LOCAL,
    STORED,
    UTF8,
)
from layerkit.archive.member import Member
from layerkit.archive.names import bad_name, collisions
from layerkit.archive.problems import ArchiveError, Problem
from layerkit.archive.source import pread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.archive.source import Handle

# Larger than any wheel there is (the largest of torch unpack to some 5 GB) and than any Lambda can hold.
MAX_UNPACKED = 16 << 30
# Deflate cannot pack better than 1,032 to 1, and wheels as a whole stay below 20 to 1.
MAX_MEMBER_RATIO = 1032
MAX_RATIO = 200
RATIO_FREE = 64 << 20  # content in bytes below which the ratio of the whole says nothing
MAX_ENTRIES = 250_000  # the largest wheels have some 30,000
_MAX_VERSION = 63  # 6.3, the newest version of the format that any reader knows
_EMPTY_STREAM = 2  # the bytes of a deflate stream that holds nothing
_MAX_PROBLEMS = 1000
_UNIX = 3  # "version made by" of the systems whose modes say something
_UNSAID = 0o644  # what unpackers give to files of the others


class _Entry(Struct):
    """A central record; its local header tells where its bytes begin (`data`) and end."""

    name: str
    raw_name: bytes
    shared: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    unix: bool = True
    stamp: int = 0
    dated: bool = False
    data: int = 0
    end: int = 0


class Examined(NamedTuple):
    """What an archive holds: its files, its folder entries, and notes on what was put right."""

    members: tuple[Member, ...]
    folders: tuple[Member, ...]
    notes: tuple[str, ...]


def examine(fd: Handle, size: int, archive: str, *, links: bool = False) -> Examined:
    """Return the members, folders and notes of the archive of `size` bytes behind `fd`.

    Raises ArchiveError, under the name `archive`, with every problem that can be told apart; symbolic
    links are none where `links` are let in.
    """
    try:
        ending = read_ending(fd, size)
    except EndingError as bad:
        raise ArchiveError(archive, [bad.problem]) from None
    if ending.entries > MAX_ENTRIES:
        text = f"has {ending.entries} entries, more than the {MAX_ENTRIES} that are read"
        raise ArchiveError(archive, [Problem(case="too-many-entries", text=text)])
    walk = _Walk(fd, ending, links=links)
    entries = sorted(walk.entries(), key=attrgetter("offset"))
    for entry in entries:
        walk.local(entry)
    walk.neighbours(entries)
    walk.expansion(entries, size)
    walk.problems += islice(collisions(walk.names), _MAX_PROBLEMS)
    if walk.problems:
        raise ArchiveError(archive, walk.problems)
    notes = (f"{ending.nuls} NUL bytes behind its end were dropped",) if ending.nuls else ()
    files = tuple(_member(entry) for entry in entries if not entry.name.endswith("/"))
    folders = tuple(_member(entry) for entry in entries if entry.name.endswith("/"))
    return Examined(files, folders, notes)


def _member(entry: _Entry) -> Member:
    return Member(
        name=entry.name,
        method=entry.method,
        crc=entry.crc,
        packed=entry.packed,
        size=entry.size,
        offset=entry.data,
        executable=entry.mode & 0o111 != 0,
        mode=entry.mode & 0o777 if entry.unix else _UNSAID,
        stamp=entry.stamp,
        dated=entry.dated,
        link=stat.S_IFMT(entry.mode) == stat.S_IFLNK,
    )


class _Walk:
    """One walk over one archive, which gathers its problems and the names that could be read."""

    def __init__(self, fd: Handle, ending: Ending, *, links: bool) -> None:
        self.fd = fd
        self.links = links
        self.ending = ending
        self.names: list[str] = []
        self.problems: list[Problem] = []

    def complain(self, case: str, text: str, member: str | None = None) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(case=case, text=text, member=member))

    def entries(self) -> Iterator[_Entry]:
        """Yield the records of the central directory that can be made out."""
        directory = pread(self.fd, self.ending.length, self.ending.start)
        at = count = 0
        while at < len(directory):
            head = directory[at : at + CENTRAL.size]
            if len(head) < CENTRAL.size or not head.startswith(CENTRAL_MAGIC):
                self.complain("directory-damaged", "has something else than entries in its central directory")
                return
            values = CENTRAL.unpack(head)
            at += CENTRAL.size
            raw_name = directory[at : at + values[10]]
            at += values[10]
            extra = directory[at : at + values[11]]
            at += values[11] + values[12]
            count += 1
            if at > len(directory):
                self.complain("directory-damaged", "has a central directory that breaks off")
                return
            if count > self.ending.entries:
                break
            yield self.entry(head, values, raw_name, extra)
        if count != self.ending.entries:
            text = f"does not have the {self.ending.entries} entries that its end record says"
            self.complain("entry-count", text)

    def entry(self, head: bytes, values: tuple[int, ...], raw_name: bytes, extra: bytes) -> _Entry:
        """Return one central record, checked by itself."""
        _, made, needed, flags, method, time, date, crc, packed, size, *rest = values
        _, _, _, disk, _, attributes, offset = rest
        name = self.name(raw_name, flags)
        shared, dated = head[SHARED_IN_CENTRAL], False
        if extra or MAX32 in (size, packed, offset):
            shared = b""  # a second look at the local header, which has extra fields of its own
            try:
                found = fields(extra, raw_name)
                dated = EXTRA_TIMESTAMP in found
                size, packed, offset = widen((size, packed, offset), found.get(EXTRA_ZIP64))
            except ExtraError as bad:
                self.complain(bad.case, bad.text, name)
        if needed & 0xFF > _MAX_VERSION:  # the high byte is reserved
            self.complain("version-unsupported", f"needs version {needed & 0xFF} of the format", name)
        if flags & ~KNOWN_FLAGS or method not in (STORED, DEFLATED) or disk:
            self.unreadable(name, flags, method, disk)
        entry = _Entry(
            name,
            raw_name,
            shared,
            flags,
            method,
            crc,
            packed,
            size,
            offset,
            mode=attributes >> 16,
            unix=made >> 8 == _UNIX,
            stamp=date << 16 | time,
            dated=dated,
        )
        self.kind(entry)
        return entry

    def name(self, raw: bytes, flags: int) -> str:
        """Return the name in `raw`, noted for the check on collisions when it may be one."""
        try:
            name = raw.decode("utf-8" if flags & UTF8 else "ascii")
        except UnicodeDecodeError:
            shown = raw.decode("utf-8", "backslashreplace")
            if flags & UTF8:
                self.complain("name-not-utf8", "has a name that is not UTF-8, though it says so", shown)
            else:
                self.complain(
                    "name-without-utf8-flag", "has a name beyond ASCII that is not marked UTF-8", shown
                )
            return shown
        folder = len(name) > 1 and name.endswith("/")
        problem = bad_name(name.removesuffix("/") if folder else name)
        # Empty folders reach no layer: published wheels have some that are called `pyarrow./`.
        if problem is not None and not (folder and problem.case == "name-trailing"):
            self.complain(problem.case, problem.text, name)
        self.names.append(name)
        return name

    def unreadable(self, name: str, flags: int, method: int, disk: int) -> None:
        """Complain of what makes a member's stream unreadable."""
        if flags & ENCRYPTED:
            self.complain("encrypted", "is encrypted", name)
        elif flags & ~KNOWN_FLAGS:
            self.complain("flags-unknown", f"has flags {flags:#06x} that no wheel needs", name)
        if method not in (STORED, DEFLATED):
            self.complain("method-unsupported", f"is packed by method {method}, not stored or deflated", name)
        if disk:
            self.complain("many-disks", "lies on another disk", name)

    def kind(self, entry: _Entry) -> None:
        """Check that the record is a file, or a folder without content, of a possible size."""
        folder = entry.name.endswith("/")
        kind = stat.S_IFMT(entry.mode)
        if kind == stat.S_IFLNK and self.links and not folder:
            pass
        elif kind == stat.S_IFLNK:
            self.complain("symlink", "is a symbolic link", entry.name)
        elif kind not in (0, stat.S_IFREG) and not (folder and kind == stat.S_IFDIR):
            self.complain("special-file", f"is no regular file (mode {entry.mode:o})", entry.name)
        most_packed = _EMPTY_STREAM if entry.method == DEFLATED else 0
        if folder and (entry.size or entry.crc or entry.packed > most_packed):
            self.complain("folder-with-data", "is a folder with content", entry.name)
        if entry.method == STORED and entry.packed != entry.size:
            self.complain("stored-size", "is stored, but of two sizes", entry.name)
        elif entry.size > entry.packed * MAX_MEMBER_RATIO:
            text = f"says that {entry.packed} bytes unpack to {entry.size}, which deflate cannot"
            self.complain("ratio-impossible", text, entry.name)

    def local(self, entry: _Entry) -> None:
        """Hold the local header against the central record, and find the member's bytes."""
        if entry.offset >= self.ending.start:
            self.complain("local-header-missing", "has no local header where it should", entry.name)
            return
        head = pread(self.fd, LOCAL.size + len(entry.raw_name), entry.offset)
        if len(head) < LOCAL.size or not head.startswith(LOCAL_MAGIC):
            self.complain("local-header-missing", "has no local header where it should", entry.name)
            return
        name_length, extra_length = head[26] | head[27] << 8, head[28] | head[29] << 8
        entry.data = entry.offset + LOCAL.size + name_length + extra_length
        entry.end = entry.data + entry.packed
        same = head[SHARED_IN_LOCAL] == entry.shared and head[LOCAL.size :] == entry.raw_name
        # What is equal and says all of itself needs no second look; nearly all wheels end here.
        if not same or extra_length or entry.flags & DESCRIPTOR:
            self.compare(entry, head, extra_length)
        if entry.end > self.ending.start:
            self.complain("overlap", "reaches into the central directory", entry.name)
            entry.end = 0

    def compare(self, entry: _Entry, head: bytes, extra_length: int) -> None:
        """Name every way in which a local header differs from its central record."""
        _, _, flags, method, _, _, crc, packed, size, name_length, _ = LOCAL.unpack_from(head)
        extra = pread(self.fd, extra_length, entry.data - extra_length)
        try:
            zip64 = fields(extra, entry.raw_name).get(EXTRA_ZIP64)
            size, packed = widen((size, packed), zip64)
        except ExtraError as bad:
            self.complain(bad.case, bad.text + " (local header)", entry.name)
            return
        # A writer that did not know sizes and CRC yet leaves zeros, and a descriptor behind the data.
        late = (0,) if entry.flags & DESCRIPTOR else ()
        differs = {
            "flags": (flags ^ entry.flags) & ~LEVEL,
            "method": method != entry.method,
            "name": head[LOCAL.size :] != entry.raw_name or name_length != len(entry.raw_name),
            "CRC": crc not in (entry.crc, *late),
            "packed size": packed not in (entry.packed, *late),
            "size": size not in (entry.size, *late),
        }
        if any(differs.values()):
            what = ", ".join(field for field, differ in differs.items() if differ)
            text = f"has a local header that differs from the central directory: {what}"
            self.complain("headers-differ", text, entry.name)

    def neighbours(self, entries: list[_Entry]) -> None:
        """Check that the entries, in the order of their bytes, fill the file from its first byte on."""
        entries = [entry for entry in entries if entry.offset < self.ending.start]
        starts = (*(entry.offset for entry in entries), self.ending.start)
        at = 0
        for entry, following in zip(entries, starts[1:], strict=True):
            self.seam(at, entry.offset, entry.name)
            if entry.end and entry.flags & DESCRIPTOR:
                entry.end += self.descriptor(entry, following - entry.end)
            # Where an entry's end is not known, its own problem is told already.
            at = entry.end or following
        self.seam(at, self.ending.start, None)

    def seam(self, end: int, start: int, member: str | None) -> None:
        """Complain of bytes that belong to no entry, or to two, before `member` (None: the directory)."""
        if start < end:
            self.complain("overlap", "overlaps the entry before it", member)
        elif start > end and pread(self.fd, 4, end) == LOCAL_MAGIC:
            text = f"hides an entry at byte {end} that its central directory does not list"
            self.complain("entry-unlisted", text)
        elif start > end:
            case = "bytes-between" if end else "bytes-before"
            self.complain(case, f"has {start - end} bytes at byte {end} that belong to no entry")

    def descriptor(self, entry: _Entry, room: int) -> int:
        """Return the length of the descriptor behind the entry's data, of which there are four forms."""
        found = pread(self.fd, 24, entry.end)
        forms = [pack("<LQQ", entry.crc, entry.packed, entry.size)]
        if max(entry.packed, entry.size) <= MAX32:
            forms.append(pack("<3L", entry.crc, entry.packed, entry.size))
        forms += [DESCRIPTOR_MAGIC + form for form in forms]
        lengths = [len(form) for form in forms if found.startswith(form)]
        if not lengths:
            self.complain("descriptor-wrong", "has a data descriptor that is not true", entry.name)
            return max(room, 0)
        return room if room in lengths else max(lengths)

    def expansion(self, entries: list[_Entry], size: int) -> None:
        """Check that the content as a whole is no larger than a wheel's can be."""
        unpacked = sum(entry.size for entry in entries)
        if unpacked > MAX_UNPACKED:
            self.complain("unpacks-too-large", f"unpacks to {unpacked:,} bytes, above {MAX_UNPACKED:,}")
        elif unpacked > max(RATIO_FREE, size * MAX_RATIO):
            self.complain(
                "ratio-too-high", f"unpacks to {unpacked:,} bytes, {unpacked // size} times its size"
            )
