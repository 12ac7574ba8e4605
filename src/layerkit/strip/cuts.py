"""What may be cut out of an ELF file, and how far what lies behind it moves.

Symbol and debug tables usually lie behind all that is loaded. A library that patchelf has worked on has
segments behind them, and these can only move by whole multiples of their alignment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerkit.strip.tables import LOAD, REL, RELA, SECTION, SEGMENT, SYMBOL_INDEXES, SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from layerkit.strip.tables import Elf

_DEBUG = (".debug", ".zdebug", ".gnu.debuglto_", ".gnu_debugdata", ".gdb_index", ".stab")


class Cut(NamedTuple):
    """Bytes that nobody needs, from `start` to `end`: the last `gone` are taken out, the rest becomes 0."""

    start: int
    end: int
    gone: int


def unneeded(elf: Elf) -> frozenset[int]:
    """Return the indexes of the sections that only debuggers and linkers read."""
    found = {
        index
        for index, (section, name) in enumerate(zip(elf.sections, elf.names, strict=True))
        if not section.loaded and (section.type in (SYMBOLS, SYMBOL_INDEXES) or name.startswith(_DEBUG))
    }
    found |= {elf.sections[index].link for index in found if elf.sections[index].type == SYMBOLS}
    found |= {
        index
        for index, section in enumerate(elf.sections)
        if not section.loaded and section.type in (REL, RELA) and section.info in found
    }
    found -= {0, elf.header.names_index}
    while linked := found & {one.link for index, one in enumerate(elf.sections) if index not in found}:
        found -= linked
    return frozenset(found)


def cuts(elf: Elf, content: bytes | bytearray, dropped: Collection[int]) -> list[Cut] | None:
    """Return what to cut out, in the order of the file, so that every alignment stays as it is.

    None where bytes that no table knows lie at the end: programs that carry a payload look for it there.
    """
    header = elf.header
    kept = [(0, header.size), (header.segments_at, header.segments_at + len(elf.segments) * SEGMENT.size)]
    kept += [(one.offset, one.end) for one in elf.segments]
    kept += [(one.offset, one.end) for index, one in enumerate(elf.sections) if index not in dropped]
    known = [(elf.sections[index].offset, elf.sections[index].end) for index in dropped]
    known.append((header.sections_at, header.sections_at + len(elf.sections) * SECTION.size))
    found = []
    for start, end in _gaps(kept, len(content)):
        if any(content[a:b].strip(b"\0") for a, b in _gaps([(0, start), *known], end)):
            if end == len(content):
                return None
        elif any(start <= a < end for a, _ in known):
            step = _alignment(elf, end, dropped)
            found.append(Cut(start, end, (end - start) // step * step))
    return found


def moved(offset: int, found: Sequence[Cut]) -> int:
    """Return where a byte lies after the cuts; what lay inside one lies at its beginning."""
    shift = 0
    for cut in found:
        if offset >= cut.end:
            shift += cut.gone
        elif offset > cut.start:
            return cut.start - shift
    return offset - shift


def _gaps(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield what none of the ranges covers of the bytes from 0 to `size`."""
    at = 0
    for start, end in sorted(ranges):
        if at < min(start, size):
            yield at, min(start, size)
        at = max(at, end)
    if at < size:
        yield at, size


def _alignment(elf: Elf, start: int, dropped: Collection[int]) -> int:
    """Return what the distance must be a multiple of by which all from `start` on may move."""
    segments = [one.align for one in elf.segments if one.type == LOAD and one.offset >= start]
    sections = [
        one.align for index, one in enumerate(elf.sections) if index not in dropped and one.offset >= start
    ]
    return max([1, *segments, *sections])
