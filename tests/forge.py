"""Zips made byte by byte, odd and hostile ones among them.

`forge` writes exactly what it is told. What is not told is right, so that each test reads as what it
breaks; `local` and `central` change single fields of one header and leave its twin alone.
"""

from __future__ import annotations

import zlib
from struct import pack
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX16 = 0xFFFF
MAX32 = 0xFFFF_FFFF
UTF8 = 0x800
DESCRIPTOR = 0x8


def deflate(data: bytes) -> bytes:
    """Return the raw deflate stream of `data`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


class Forged(Struct, frozen=True, kw_only=True):
    """One entry: `stream` are its stored bytes, `behind` what follows them (a descriptor, a gap)."""

    name: str | bytes
    data: bytes = b"content " * 8
    method: int = 8
    stream: bytes | None = None
    mode: int = 0o100644
    flags: int | None = None
    behind: bytes = b""
    listed: int = 1
    local: Mapping[str, Any] = field(default_factory=dict)
    central: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the true values of both headers."""
        raw = self.name.encode() if isinstance(self.name, str) else self.name
        packed = self.bytes()
        flags = self.flags if self.flags is not None else (0 if raw.isascii() else UTF8)
        return {
            "magic": None,
            "needed": 20,
            "flags": flags,
            "method": self.method,
            "time": 0,
            "date": 33,
            "crc": zlib.crc32(self.data),
            "packed": len(packed),
            "size": len(self.data),
            "name": raw,
            "extra": b"",
            "comment": b"",
            "disk": 0,
            "attributes": self.mode << 16,
            "offset": 0,
        }

    def bytes(self) -> bytes:
        """Return the stream as it is stored."""
        if self.stream is not None:
            return self.stream
        return deflate(self.data) if self.method == 8 else self.data


def entry(name: str | bytes, data: bytes = b"content " * 8, **changes: Any) -> Forged:
    """Return an entry; `local` and `central` take the fields of `Forged.fields`."""
    return Forged(name=name, data=data, **changes)


def zip64(*values: int) -> bytes:
    """Return a ZIP64 extra field of the values."""
    return pack("<2H", 1, 8 * len(values)) + pack(f"<{len(values)}Q", *values)


def unicode_path(name: bytes, stands_for: bytes) -> bytes:
    """Return a Unicode path field that gives `name` to the member whose header says `stands_for`."""
    return pack("<2HBL", 0x7075, 5 + len(name), 1, zlib.crc32(stands_for)) + name


def descriptor(data: bytes, *, magic: bool = True, wide: bool = False, stored: bool = False) -> bytes:
    """Return a true data descriptor for `data`, in one of its four forms."""
    packed = len(data) if stored else len(deflate(data))
    return (b"PK\x07\x08" if magic else b"") + pack(
        "<LQQ" if wide else "<3L", zlib.crc32(data), packed, len(data)
    )


def late(name: str, data: bytes = b"content " * 8, **form: bool) -> Forged:
    """Return an entry as a stream writer leaves it: sizes and CRC behind the data."""
    return Forged(
        name=name,
        data=data,
        flags=DESCRIPTOR,
        behind=descriptor(data, **form),
        local={"crc": 0, "packed": 0, "size": 0},
    )


_SHARED = ("needed", "flags", "method", "time", "date", "crc", "packed", "size")


def _local(f: Mapping[str, Any]) -> bytes:
    name, extra = bytes(f["name"]), bytes(f["extra"])
    magic = f["magic"] or b"PK\x03\x04"
    return pack("<4s5H3L2H", magic, *(f[key] for key in _SHARED), len(name), len(extra)) + name + extra


def _central(f: Mapping[str, Any]) -> bytes:
    name, extra, comment = bytes(f["name"]), bytes(f["extra"]), bytes(f["comment"])
    head = pack("<4sH", f["magic"] or b"PK\x01\x02", 3 << 8 | 20)
    head += pack("<5H3L", *(f[key] for key in _SHARED))
    head += pack("<3H", len(name), len(extra), len(comment))
    head += pack("<2H2L", f["disk"], 0, f["attributes"], f["offset"])
    return head + name + extra + comment


class Ends(Struct, kw_only=True):
    """The values of the end records, and bytes in places where none belong."""

    prefix: bytes = b""
    adjusted: bool = True
    before_directory: bytes = b""
    in_directory: bytes = b""
    comment: bytes = b""
    suffix: bytes = b""
    zip64: bool = False
    extensible: bytes = b""
    end: Mapping[str, int] = field(default_factory=dict)
    end64: Mapping[str, int] = field(default_factory=dict)
    locator: Mapping[str, int] = field(default_factory=dict)


def forge(*entries: Forged, **ends: Any) -> bytes:
    """Return the zip of `entries`; `ends` are the fields of `Ends`.

    `prefix` bytes come first, and offsets count from the file's start unless `adjusted` is False.
    """
    e = Ends(**ends)
    body = bytearray(e.prefix)
    directory = b""
    for one in entries:
        start = len(body) - (0 if e.adjusted else len(e.prefix))
        truth = {**one.fields(), "offset": start}
        body += _local({**truth, **one.local}) + one.bytes() + one.behind
        directory += _central({**truth, **one.central}) * one.listed
    body += e.before_directory
    directory += e.in_directory
    start = len(body) - (0 if e.adjusted else len(e.prefix))
    count = sum(one.listed for one in entries)
    truth = {
        "disk": 0,
        "directory_disk": 0,
        "here": count,
        "entries": count,
        "length": len(directory),
        "start": start,
    }
    return bytes(body) + directory + _ends(e, truth, len(body) + len(directory)) + e.suffix


def _ends(e: Ends, truth: dict[str, int], at: int) -> bytes:
    order = ("disk", "directory_disk", "here", "entries", "length", "start")
    wide = b""
    narrow = {**truth, **e.end}
    if e.zip64:
        values = {**truth, "rest": 44 + len(e.extensible), **e.end64}
        wide = pack("<4sQ2H", b"PK\x06\x06", values["rest"], 45, 45)
        wide += pack("<2L4Q", *(values[key] for key in order)) + e.extensible
        found = {"disk": 0, "at": at, "disks": 1, **e.locator}
        wide += pack("<4sLQL", b"PK\x06\x07", found["disk"], found["at"], found["disks"])
        narrow = {**truth, "here": MAX16, "entries": MAX16, "length": MAX32, "start": MAX32, **e.end}
    end = pack("<4s4H2LH", b"PK\x05\x06", *(narrow[key] for key in order), len(e.comment))
    return wide + end + e.comment
