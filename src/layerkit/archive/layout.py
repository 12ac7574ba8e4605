"""The bytes of a zip's records, as APPNOTE.TXT 6.3.10 lays them out."""

from __future__ import annotations

from struct import Struct

LOCAL_MAGIC = b"PK\x03\x04"
CENTRAL_MAGIC = b"PK\x01\x02"
END_MAGIC = b"PK\x05\x06"
END64_MAGIC = b"PK\x06\x06"
LOCATOR_MAGIC = b"PK\x06\x07"
DESCRIPTOR_MAGIC = b"PK\x07\x08"

# magic, version needed, flags, method, time, date, crc, packed, size, name length, extra length
LOCAL = Struct("<4s5H3L2H")
# magic, version made by, version needed, flags, method, time, date, crc, packed, size, name length,
# extra length, comment length, disk, internal attributes, external attributes, offset
CENTRAL = Struct("<4s6H3L5H2L")
CENTRAL_OFFSET = 42  # where in a central record the offset of its local header stands
# What a local header repeats of its central record: flags to name length, bytes 8-30 there, 6-28 here.
SHARED_IN_CENTRAL = slice(8, 30)
SHARED_IN_LOCAL = slice(6, 28)
# magic, disk, directory's disk, entries here, entries, directory size, its offset, comment length
END = Struct("<4s4H2LH")
# magic, size of the rest, made by, needed, disk, directory's disk, entries here, entries, size, offset
END64 = Struct("<4sQ2H2L4Q")
END64_REST = END64.size - 12
LOCATOR = Struct("<4sLQL")  # magic, disk of END64, its offset, disks
EXTRA = Struct("<2H")  # id, length of what follows
OFFSET = Struct("<L")

ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
DESCRIPTOR = 1 << 3
UTF8 = 1 << 11
LEVEL = 1 << 1 | 1 << 2  # how hard the writer tried; says nothing about the stream
KNOWN_FLAGS = DESCRIPTOR | UTF8 | LEVEL

STORED = 0
DEFLATED = 8

EXTRA_ZIP64 = 0x0001
EXTRA_TIMESTAMP = 0x5455
EXTRA_UNICODE_PATH = 0x7075

MAX16 = 0xFFFF
MAX32 = 0xFFFF_FFFF

CHUNK = 1 << 20  # the most that is held of any stream, in bytes
