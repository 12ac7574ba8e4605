"""Stripping takes symbol and debug tables, and nothing that a loader, or a tool that reads ELF, looks at."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from elves import ARM64, CODE, HEADER, SEGMENT, TABLES, X86_64, elf
from layerkit.strip import difference, strip


def stripped(content: bytes) -> bytes:
    found = strip(content)
    assert found.content is not None, found.reason
    return bytes(found.content)


def seen(content: bytes) -> dict[str, Any]:
    """Return what pyelftools sees of a file's loaded parts."""
    file: Any = ELFFile(io.BytesIO(content))
    dynamic = file.get_section_by_name(".dynamic")
    symbols = file.get_section_by_name(".dynsym")
    return {
        "machine": file["e_machine"],
        "entry": file["e_entry"],
        "segments": [
            (
                one["p_type"],
                one["p_flags"],
                one["p_vaddr"],
                one["p_filesz"],
                one["p_memsz"],
                one["p_align"],
                one.data(),
            )
            for one in file.iter_segments()
            if one["p_offset"]
        ],
        "aligned": all(
            one["p_offset"] % one["p_align"] == one["p_vaddr"] % one["p_align"]
            for one in file.iter_segments()
            if one["p_align"] > 1
        ),
        "needed": [tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"],
        "symbols": [
            (one.name, dict(one.entry)["st_value"], one["st_shndx"]) for one in symbols.iter_symbols()
        ],
        "loaded": [
            (index, one.name, one["sh_addr"], one["sh_size"], one.data())
            for index, one in enumerate(file.iter_sections())
            if one["sh_flags"] & 2
        ],
    }


def sections(content: bytes) -> list[str]:
    return [one.name for one in ELFFile(io.BytesIO(content)).iter_sections()]


@pytest.mark.parametrize("machine", [X86_64, ARM64])
@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("behind", [0, 5000])
def test_tables_go_and_what_is_loaded_stays(machine: int, kind: int, behind: int) -> None:
    page = 0x1000 if machine == X86_64 else 0x2000
    before = elf(machine=machine, kind=kind, behind=behind, page=page)
    after = stripped(before)
    assert seen(after) == seen(before)
    assert seen(after)["aligned"]
    assert seen(after)["needed"] == ["libc.so.6"]
    kept = [".dynsym", ".text", ".dynstr", ".dynamic", ".bss", ".comment", *([".moved"] if behind else [])]
    assert [name for name in sections(after) if name] == [*kept, ".shstrtab"]
    assert b"made to order\0" in after
    assert len(before) - len(after) > (11_000 if not behind else 11_000 - page)
    assert b"\xdd\xdd" not in after
    assert CODE in after
    assert stripped(before) == after, "the same bytes every time"
    assert strip(after) == (None, None), "nothing is left to do"


def test_the_numbers_of_loaded_sections_stay_where_dropped_ones_stood_between_them() -> None:
    after = stripped(elf(behind=5000))
    names = sections(after)
    assert names.index(".moved") == sections(elf(behind=5000)).index(".moved")
    assert names.count("") > 1, "empty headers hold the places"


def test_a_file_without_dropped_sections_between_loaded_ones_has_no_empty_headers() -> None:
    assert sections(stripped(elf())).count("") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF",
        b"\x7fELF\x02\x01" + bytes(100),
        b"no ELF at all" * 99,
        elf(tables=()),
        elf(tables=("comment",)),
        elf(tables=("debug",), size=500),
        elf(kind=1),
        elf()[:1000],
        b"\x7fELF\x01" + elf()[5:],
        b"\x7fELF\x02\x02" + elf()[6:],
    ],
)
def test_what_has_nothing_to_lose_or_cannot_be_read_is_left(content: bytes) -> None:
    assert strip(content) == (None, None)


def test_a_program_that_carries_a_payload_keeps_its_tables() -> None:
    found = strip(elf(payload=b"PK\3\4 what it looks for at its end"))
    assert found == (None, "bytes lie behind its last table")


def test_padding_at_the_end_is_no_payload() -> None:
    assert len(stripped(elf(payload=bytes(64)))) < len(elf())


def test_segments_that_cannot_move_far_enough_are_not_moved() -> None:
    found = strip(elf(behind=5000, page=0x1000, align=0x10000, size=3000))
    assert found == (None, "its tables lie between segments that cannot move")


def test_bytes_between_tables_that_nobody_knows_stay() -> None:
    before = bytearray(elf(behind=5000))
    at = before.index(b"\xbb" * 16) - 3
    assert before[at] == 0, "padding before a segment"
    before[at] = 7
    assert strip(bytes(before)) == (None, "its tables lie between segments that cannot move")


def broken(after: bytes, at: int, form: str, value: int) -> bytes:
    changed = bytearray(after)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


def test_a_result_that_a_loader_would_see_is_told_from_a_good_one() -> None:
    before = elf(behind=5000)
    after = stripped(before)
    assert difference(before, after) is None
    entry, first = 24, HEADER.size
    last = HEADER.size + 3 * SEGMENT.size
    assert difference(before, broken(after, entry, "<Q", 1)) == "its header changed"
    assert difference(before, broken(after, first + 4, "<I", 7)) == "its program headers changed"
    offset = struct.unpack_from("<Q", after, last + 8)[0]
    assert difference(before, broken(after, last + 8, "<Q", offset - 8)) == "a segment lost its alignment"
    assert difference(before, broken(after, after.index(CODE), "<B", 9)) == "the bytes of a segment changed"
    table = struct.unpack_from("<Q", after, 40)[0]
    assert difference(before, broken(after, table + 64 + 16, "<Q", 1)) == "its sections changed"
    assert difference(before, b"") == "its tables cannot be read again"


def test_a_result_that_cannot_be_proven_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.strip.difference", lambda *_: "it differs")
    assert strip(elf()) == (None, "it differs")


@settings(deadline=None)
@given(
    tables=st.sets(st.sampled_from(TABLES)),
    size=st.integers(0, 20_000),
    behind=st.sampled_from([0, 1, 100, 4096, 9000]),
    page=st.sampled_from([16, 0x1000, 0x4000]),
)
def test_whatever_is_stripped_looks_the_same_to_a_loader(
    tables: set[str], size: int, behind: int, page: int
) -> None:
    pair = {"symtab", "strtab"}  # neither makes sense without the other
    tables |= pair if tables & pair else set()
    before = elf(tables=tuple(tables), size=size, behind=behind, page=page)
    found = strip(before)
    if found.content is not None:
        assert seen(bytes(found.content)) == seen(before)
        assert len(found.content) < len(before)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_damage_to_a_file_gives_more_than_a_file_that_is_left(data: st.DataObject) -> None:
    content = bytearray(elf(behind=5000))
    spots = st.one_of(
        st.integers(0, HEADER.size + 4 * SEGMENT.size - 1), st.integers(len(content) - 800, len(content) - 1)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(spots)] = data.draw(st.integers(0, 255))
    found = strip(bytes(content))
    if found.content is not None:
        assert difference(bytes(content), found.content) is None
