"""The tables of an ELF file: its header, program headers and section headers, read and written.

Only what Lambda loads is known: 64 bits, little-endian, executables and shared objects. Layouts are
those of the System V ABI, chapters 4 and 5 (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")

_EXECUTABLE, _SHARED = 2, 3  # e_type
LOAD = 1  # p_type
SYMBOLS, RELA, NOBITS, REL, SYMBOL_INDEXES = 2, 4, 8, 9, 18  # sh_type
ALLOC, INFO_LINK = 0x2, 0x40  # sh_flags


class Header(NamedTuple):
    """The header, in the order of its fields; offsets and sizes are in bytes."""

    ident: bytes
    type: int
    machine: int
    version: int
    entry: int
    segments_at: int
    sections_at: int
    flags: int
    size: int
    segment_size: int
    segment_count: int
    section_size: int
    section_count: int
    names_index: int


class Segment(NamedTuple):
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    size_in_memory: int
    align: int

    @property
    def end(self) -> int:
        """Return where its bytes end in the file."""
        return self.offset + self.size


class Section(NamedTuple):
    """A section header; `name` is an offset into the table of names."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int

    @property
    def length(self) -> int:
        """Return how many bytes of the file it takes."""
        return 0 if self.type == NOBITS else self.size

    @property
    def end(self) -> int:
        """Return where its bytes end in the file."""
        return self.offset + self.length

    @property
    def loaded(self) -> bool:
        """Say whether it is part of what a loader maps."""
        return bool(self.flags & ALLOC)

    @property
    def points(self) -> bool:
        """Say whether its `info` is the number of another section."""
        return self.type in (REL, RELA) or bool(self.flags & INFO_LINK)


class Elf(Struct, frozen=True, kw_only=True):
    """The tables of one file, all of them inside it; `names` are those of the sections."""

    header: Header
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    names: tuple[str, ...]


def read(content: bytes | bytearray) -> Elf | None:
    """Return the tables; None for what is no such file, has no sections, or says what cannot be."""
    if not content.startswith(MAGIC) or len(content) < HEADER.size:
        return None
    header = Header(*HEADER.unpack_from(content))
    sound = header.segment_size == SEGMENT.size and header.section_size == SECTION.size
    if header.type not in (_EXECUTABLE, _SHARED) or not sound or header.size != HEADER.size:
        return None
    segments_end = header.segments_at + header.segment_count * SEGMENT.size
    sections_end = header.sections_at + header.section_count * SECTION.size
    if max(segments_end, sections_end) > len(content) or not 0 < header.names_index < header.section_count:
        return None
    segments = SEGMENT.iter_unpack(content[header.segments_at : segments_end])
    sections = SECTION.iter_unpack(content[header.sections_at : sections_end])
    found = Elf(
        header=header,
        segments=tuple(Segment(*fields) for fields in segments),
        sections=tuple(Section(*fields) for fields in sections),
        names=(),
    )
    return _named(found, content)


def _named(elf: Elf, content: bytes | bytearray) -> Elf | None:
    """Return the tables with the names of sections; None where they lead out of the file or of themselves."""
    ends = [one.end for one in elf.segments] + [one.end for one in elf.sections]
    numbers = [one.link for one in elf.sections] + [one.info for one in elf.sections if one.points]
    if max(ends) > len(content) or max(numbers) >= len(elf.sections):
        return None
    table = elf.sections[elf.header.names_index]
    names = content[table.offset : table.end]
    read_names = tuple(names[one.name :].partition(b"\0")[0].decode("latin-1") for one in elf.sections)
    return Elf(header=elf.header, segments=elf.segments, sections=elf.sections, names=read_names)


def packed(tables: Iterable[Segment] | Iterable[Section]) -> bytes:
    """Return program or section headers as they stand in a file."""
    return b"".join((SEGMENT if isinstance(one, Segment) else SECTION).pack(*one) for one in tables)
