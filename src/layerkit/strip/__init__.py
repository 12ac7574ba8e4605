"""Take the symbol and debug tables out of shared libraries and programs, on any machine for any other.

    tables.py   the tables of an ELF file, read and written
    cuts.py     which sections nobody needs at run time, and what may be cut out with them

What is loaded is not rewritten: every segment keeps its bytes, its address and its alignment; only the
file around it becomes shorter. `strip` proves that by reading the result again, and gives no result that
it cannot prove. The tools of a host (binutils, LLVM) do the same work and give other bytes with every
release, and some give libraries that do not load: docs/prepared-wheels.md has the comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerkit.strip.cuts import cuts, moved, unneeded
from layerkit.strip.tables import HEADER, MAGIC, SEGMENT, Elf, Section, packed, read

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from layerkit.strip.cuts import Cut

__all__ = ["MAGIC", "Stripped", "difference", "strip"]

Content = bytes | bytearray
_STRETCH = 1 << 20
_WORTH = 1024  # bytes saved, below which a file is left as its author made it
_NULL = Section(*[0] * len(Section._fields))


class Stripped(NamedTuple):
    """What became of a file: its new content, or None and perhaps the reason why it had to stay."""

    content: Content | None = None
    reason: str | None = None


def strip(content: Content) -> Stripped:
    """Return the file without its symbol and debug tables.

    There is neither content nor reason for what is no 64-bit little-endian ELF executable or shared
    object, and for what has nothing to lose.
    """
    elf = read(content)
    if elf is None:
        return Stripped()
    dropped = unneeded(elf)
    if sum(elf.sections[index].length for index in dropped) < _WORTH:
        return Stripped()
    found = cuts(elf, content, dropped)
    if found is None:
        return Stripped(reason="bytes lie behind its last table")
    if sum(cut.gone for cut in found) < _WORTH:
        return Stripped(reason="its tables lie between segments that cannot move")
    result = _without(elf, content, dropped, found)
    if fault := difference(content, result):
        return Stripped(reason=fault)
    return Stripped(content=result)


def difference(before: Content, after: Content) -> str | None:
    """Say in what a loader would see a difference between two ELF files; None where it sees none.

    A loader sees the segments: bytes, addresses, flags, and offsets that equal the addresses in their
    alignment. The dynamic section, the libraries needed, the versions needed and defined and the exported
    symbols lie in them; that tools find them by sections too is asked for beside that.
    """
    old, new = read(before), read(after)
    if old is None or new is None:
        return "its tables cannot be read again"
    if [one._replace(offset=0) for one in old.segments] != [one._replace(offset=0) for one in new.segments]:
        return "its program headers changed"
    if any(one.align > 1 and (one.offset - one.address) % one.align for one in new.segments):
        return "a segment lost its alignment"
    if _fixed(old) != _fixed(new):
        return "its header changed"
    for one, other in zip(old.segments, new.segments, strict=True):
        if not _same(_bytes(before, old, one.offset, one.end), _bytes(after, new, other.offset, other.end)):
            return "the bytes of a segment changed"
    mine, others = _loaded(before, old), _loaded(after, new)
    alike = list(mine) == list(others) and _same([*mine.values()], [*others.values()])
    return None if alike else "its sections changed"


def _without(elf: Elf, content: Content, dropped: Collection[int], found: Sequence[Cut]) -> Content:
    """Return the file with the cuts made, the tables moved, and the section headers at its end."""
    parts: list[bytes | memoryview] = []
    at, view = 0, memoryview(content)
    for cut in found:
        parts += [view[at : cut.start], bytes(cut.end - cut.start - cut.gone)]
        at = cut.end
    parts.append(view[at:])
    size = sum(map(len, parts))
    sections, names_index = _sections(elf, dropped, found)
    parts += [bytes(-size % 8), packed(sections)]
    result = bytearray().join(parts)
    header = elf.header._replace(
        segments_at=moved(elf.header.segments_at, found),
        sections_at=size + -size % 8,
        section_count=len(sections),
        names_index=names_index,
    )
    HEADER.pack_into(result, 0, *header)
    segments = packed(one._replace(offset=moved(one.offset, found)) for one in elf.segments)
    result[header.segments_at : header.segments_at + len(segments)] = segments
    return result


def _sections(elf: Elf, dropped: Collection[int], found: Sequence[Cut]) -> tuple[list[Section], int]:
    """Return the new section headers, and which of them is the table of names.

    Dynamic symbols name sections by number. So those that are loaded keep theirs, and what is dropped
    before them leaves an empty header behind.
    """
    last = max(index for index, one in enumerate(elf.sections) if one.loaded or index == 0)
    kept = [index for index in range(len(elf.sections)) if index not in dropped or index < last]
    numbers = {old: new for new, old in enumerate(kept)}
    sections = []
    for index in kept:
        one = elf.sections[index]
        if index in dropped:
            sections.append(_NULL)
            continue
        info = numbers.get(one.info, 0) if one.points else one.info
        offset = moved(one.offset, found)
        sections.append(one._replace(link=numbers.get(one.link, 0), info=info, offset=offset))
    return sections, numbers[elf.header.names_index]


def _fixed(elf: Elf) -> tuple[object, ...]:
    """Return what of the header stays: all but where its tables lie, and how many sections there are."""
    return tuple(elf.header._replace(segments_at=0, sections_at=0, section_count=0, names_index=0))


def _bytes(content: Content, elf: Elf, start: int, end: int) -> list[memoryview]:
    """Return the bytes of a segment but for header and program headers, which are compared as such."""
    view, table = memoryview(content), elf.header.segments_at
    found = []
    for a, b in sorted([(0, HEADER.size), (table, table + len(elf.segments) * SEGMENT.size)]):
        found.append(view[start : max(start, min(a, end))])
        start = max(start, min(b, end))
    return [*found, view[start:end]]


def _loaded(content: Content, elf: Elf) -> dict[tuple[int, str, Section], memoryview]:
    """Return the sections that are loaded: (number, name, header) -> the bytes that tools look for."""
    return {
        (index, name, one._replace(name=0, offset=0)): memoryview(content)[one.offset : one.end]
        for index, (one, name) in enumerate(zip(elf.sections, elf.names, strict=True))
        if one.loaded
    }


def _same(some: Sequence[memoryview], others: Sequence[memoryview]) -> bool:
    """Say whether bytes are the same, a stretch at a time: a view would compare them one by one."""
    if [len(view) for view in some] != [len(view) for view in others]:
        return False
    return all(
        bytes(view[at : at + _STRETCH]) == bytes(other[at : at + _STRETCH])
        for view, other in zip(some, others, strict=True)
        for at in range(0, len(view), _STRETCH)
    )
