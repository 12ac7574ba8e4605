"""ELF files made to order, byte by byte: small shared objects with tables to lose.

    elf()                                 code and data, and symbol and debug tables behind them
    elf(behind=4096)                      a segment that patchelf put behind the tables
    elf(tables=("symtab",))               only some tables
    elf(payload=b"zip")                   bytes that no table knows, at the end

    loadable(needed=["libz.so.1"])        what a loader reads, in program headers and the dynamic table alone

What is said of a file here is what the tests hold the stripped one against, beside pyelftools' reading.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
LOAD, DYNAMIC, STACK = 1, 2, 0x6474E551
PROGBITS, SYMTAB, STRTAB, RELA, DYNAMIC_SECTION, NOBITS, DYNSYM = 1, 2, 3, 4, 6, 8, 11
WRITE, ALLOC, EXEC = 1, 2, 4
X86_64, ARM64 = 62, 183
CODE = bytes(range(256)) * 8
TABLES = ("symtab", "strtab", "debug", "rela", "comment")


class Part(Struct, kw_only=True):
    """A section on its way into a file."""

    name: str
    type: int
    content: bytes
    flags: int = 0
    address: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entry: int = 0
    offset: int = 0


def elf(
    *,
    machine: int = X86_64,
    kind: int = 3,
    page: int = 0x1000,
    tables: tuple[str, ...] = TABLES,
    size: int = 8000,
    behind: int = 0,
    payload: bytes = b"",
    align: int | None = None,
) -> bytes:
    """Return an ELF file; `size` is that of its debug table, `behind` that of a segment after the tables."""
    strings = b"\0exported\0libc.so.6\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 2, 0x1100, 16)
    dynamic = struct.pack("<QQQQQQ", 1, 10, 5, 0, 0, 0)
    loaded = [
        Part(name="", type=0, content=b"", align=0),
        Part(name=".dynsym", type=DYNSYM, content=symbols, flags=ALLOC, link=3, info=1, align=8, entry=24),
        Part(name=".text", type=PROGBITS, content=CODE, flags=ALLOC | EXEC, align=16),
        Part(name=".dynstr", type=STRTAB, content=strings, flags=ALLOC),
        Part(
            name=".dynamic",
            type=DYNAMIC_SECTION,
            content=dynamic,
            flags=ALLOC | WRITE,
            link=3,
            align=8,
            entry=16,
        ),
        Part(name=".bss", type=NOBITS, content=b"", flags=ALLOC | WRITE, align=8),
    ]
    first = len(loaded)
    extra = {
        "comment": Part(name=".comment", type=PROGBITS, content=b"made to order\0"),
        "debug": Part(name=".debug_info", type=PROGBITS, content=b"\xdd" * size),
        "symtab": Part(name=".symtab", type=SYMTAB, content=b"\xee" * 48, link=0, info=1, align=8, entry=24),
        "strtab": Part(name=".strtab", type=STRTAB, content=b"\0" + b"s" * 3000),
        "rela": Part(name=".rela.debug_info", type=RELA, content=b"\xcc" * 48, align=8, entry=24),
    }
    unloaded = [part for key, part in extra.items() if key in tables]
    names = {part.name: first + index for index, part in enumerate(unloaded)}
    for part in unloaded:
        part.link = names.get({".symtab": ".strtab", ".rela.debug_info": ".symtab"}.get(part.name, ""), 0)
        part.info = names.get(".debug_info", 0) if part.type == RELA else part.info
    moved = (
        [Part(name=".moved", type=PROGBITS, content=b"\xbb" * behind, flags=ALLOC | WRITE)] if behind else []
    )
    parts = [*loaded, *unloaded, *moved]
    return _laid(parts, first, machine=machine, kind=kind, page=page, align=align or page, payload=payload)


def _laid(
    parts: list[Part], first: int, *, machine: int, kind: int, page: int, align: int, payload: bytes
) -> bytes:
    """Lay the parts out as linkers do: what is loaded, what is not, names, section headers."""
    count = 4 if parts[-1].flags & ALLOC and len(parts) > first else 3
    data = bytearray(HEADER.size + count * SEGMENT.size)
    for part in parts[1:first]:
        data += bytes(-len(data) % part.align)
        part.offset = part.address = len(data)
        data += part.content
    text_end = len(data)
    segments = [SEGMENT.pack(LOAD, 5, 0, 0, 0, text_end, text_end + 64, align)]
    dynamic = parts[4]
    size = len(dynamic.content)
    segments.append(SEGMENT.pack(DYNAMIC, 6, dynamic.offset, dynamic.address, dynamic.address, size, size, 8))
    segments.append(SEGMENT.pack(STACK, 6, 0, 0, 0, 0, 0, 16))
    for part in parts[first:]:
        step = page if part.flags & ALLOC else part.align
        data += bytes(-len(data) % step)
        part.offset = len(data)
        data += part.content
        if part.flags & ALLOC:
            part.address = part.offset + 16 * page
            size = len(part.content)
            segments.append(SEGMENT.pack(LOAD, 6, part.offset, part.address, part.address, size, size, align))
    return _finished(parts, data, segments, machine, kind, payload)


def _finished(
    parts: list[Part], data: bytearray, segments: list[bytes], machine: int, kind: int, payload: bytes
) -> bytes:
    names = Part(name=".shstrtab", type=STRTAB, content=b"", offset=len(data))
    parts = [*parts, names]
    at = {}
    for part in parts:
        at[part.name] = len(names.content)
        names.content += part.name.encode() + b"\0"
    data += names.content
    data += bytes(-len(data) % 8)
    table = len(data)
    for part in parts:
        size = 64 if part.type == NOBITS else len(part.content)
        data += SECTION.pack(
            at[part.name],
            part.type,
            part.flags,
            part.address,
            part.offset,
            size,
            part.link,
            part.info,
            part.align,
            part.entry,
        )
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    HEADER.pack_into(
        data,
        0,
        ident,
        kind,
        machine,
        1,
        0,
        HEADER.size,
        table,
        0,
        HEADER.size,
        SEGMENT.size,
        len(segments),
        SECTION.size,
        len(parts),
        len(parts) - 1,
    )
    data[HEADER.size : HEADER.size + len(segments) * SEGMENT.size] = b"".join(segments)
    return bytes(data + payload)


def loadable(
    *,
    machine: int = X86_64,
    needed: Sequence[str] = (),
    versions: Mapping[str, Sequence[str]] | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    init: str | None = None,
    stack: int | None = 6,
    textrel: bool = False,
) -> bytes:
    """Return a shared object without section headers; `versions` are those needed, by soname."""
    texts = bytearray(b"\0")

    def text(value: str) -> int:
        at = len(texts)
        texts.extend(value.encode() + b"\0")
        return at

    if init:
        text(f"PyInit_{init}")
    tags = [(1, text(one)) for one in needed]
    tags += [(tag, text(value)) for tag, value in ((15, rpath), (29, runpath)) if value is not None]
    tags += [(22, 0)] if textrel else []
    table = bytearray()
    wanted = versions or {}
    for number, (library, names) in enumerate(wanted.items(), 1):
        size = 16 + 16 * len(names)
        following = 0 if number == len(wanted) else size
        table += struct.pack("<HHIII", 1, len(names), text(library), 16, following)
        for index, name in enumerate(names, 1):
            step = 0 if index == len(names) else 16
            table += struct.pack("<IHHII", 0, 0, 2, text(name), step)
    count = 2 if stack is None else 3
    start = HEADER.size + count * SEGMENT.size
    at_texts = start + len(table)
    tags += [(5, at_texts), (10, len(texts))]
    tags += [(0x6FFFFFFE, start), (0x6FFFFFFF, len(wanted))] if wanted else []
    dynamic = b"".join(struct.pack("<QQ", *one) for one in (*tags, (0, 0)))
    at_dynamic = at_texts + len(texts)
    total = at_dynamic + len(dynamic)
    segments = [SEGMENT.pack(LOAD, 5, 0, 0, 0, total, total, 0x1000)]
    segments.append(SEGMENT.pack(DYNAMIC, 6, *[at_dynamic] * 3, *[len(dynamic)] * 2, 8))
    if stack is not None:
        segments.append(SEGMENT.pack(STACK, stack, 0, 0, 0, 0, 0, 16))
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    sizes = (HEADER.size, SEGMENT.size, count, 0, 0, 0)
    head = HEADER.pack(ident, 3, machine, 1, 0, HEADER.size, 0, 0, *sizes)
    return head + b"".join(segments) + bytes(table) + bytes(texts) + dynamic
