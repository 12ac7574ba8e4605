"""What a loader reads of a file: by program headers alone, whatever is forged around them."""

from __future__ import annotations

import io
import shutil
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elves import ARM64, elf, loadable
from layerkit.elf import Elf, UnreadableElfError, read


def of(content: bytes) -> Elf:
    found = read(io.BytesIO(content))
    assert found is not None
    return found


def test_everything_that_a_loader_asks_for_is_read_without_section_headers() -> None:
    made = loadable(
        needed=["libz.so.1", "libc.so.6"],
        versions={"libc.so.6": ["GLIBC_2.17", "GLIBC_2.38"], "libstdc++.so.6": ["GLIBCXX_3.4.30"]},
        rpath="$ORIGIN/../x.libs:/opt/lib",
        runpath="${ORIGIN}",
        init="_core",
    )
    assert of(made) == Elf(
        machine="x86_64",
        needed=("libz.so.1", "libc.so.6"),
        rpath=("$ORIGIN/../x.libs", "/opt/lib"),
        runpath=("${ORIGIN}",),
        versions=(
            ("libc.so.6", "GLIBC_2.17"),
            ("libc.so.6", "GLIBC_2.38"),
            ("libstdc++.so.6", "GLIBCXX_3.4.30"),
        ),
        modules=("_core",),
    )


@pytest.mark.parametrize(
    ("stack", "machine", "executable"),
    [(6, 62, False), (7, 62, True), (None, 62, True), (None, ARM64, False)],
)
def test_stack_is_executable_where_it_is_asked_for_or_x86_says_nothing(
    stack: int | None,
    machine: int,
    executable: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert of(loadable(stack=stack, machine=machine)).executable_stack is executable


def test_relocations_in_code_are_seen() -> None:
    assert of(loadable(textrel=True)).text_relocations
    assert not of(loadable()).text_relocations


def test_files_of_other_machines_are_named_as_wheels_name_them() -> None:
    assert of(loadable(machine=ARM64)).machine == "aarch64"
    assert of(loadable(machine=243)).machine == "riscv"


def test_object_files_are_nothing_a_loader_maps() -> None:
    assert read(io.BytesIO(elf(kind=1))) is None


def test_real_libraries_of_this_machine() -> None:
    program = Path(shutil.which("ls") or sys.executable)
    found = of(program.read_bytes())
    assert "libc.so.6" in found.needed
    assert any(version.startswith("GLIBC_2.") for _, version in found.versions)


@pytest.mark.parametrize("length", [4, 20, 63, 64, 100, 200, 250])
def test_file_that_breaks_off_is_unreadable_or_empty(length: int) -> None:
    made = loadable(needed=["libz.so.1"])[:length]
    with pytest.raises(UnreadableElfError):
        read(io.BytesIO(made))


def test_name_outside_of_its_table_is_refused() -> None:
    made = bytearray(loadable(needed=["libz.so.1"]))
    at = made.rindex(struct.pack("<QQ", 1, 1))
    made[at : at + 16] = struct.pack("<QQ", 1, 1 << 40)
    with pytest.raises(UnreadableElfError, match="outside"):
        read(io.BytesIO(bytes(made)))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=6))
def test_no_forged_byte_raises_anything_else(changes: list[tuple[int, int]]) -> None:
    made = bytearray(
        loadable(needed=["libz.so.1"], versions={"libc.so.6": ["GLIBC_2.17"]}, rpath="$ORIGIN", init="m")
    )
    for at, value in changes:
        made[at % len(made)] = value
    try:
        read(io.BytesIO(bytes(made)))
    except UnreadableElfError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, no other is


@pytest.mark.parametrize("forged", ["entries", "tables"])
def test_versions_that_never_end_are_refused_at_once(forged: str) -> None:
    whole = loadable(versions={"libc.so.6": ["GLIBC_2.38"]})
    entry = struct.pack("<HHI", 1, 1, whole.index(b"libc.so.6\0") - whole.index(b"\0libc.so.6\0"))
    number = struct.pack("<QQ", 0x6FFFFFFF, 1)
    assert (whole.count(entry), whole.count(number)) == (1, 1)
    # Both end in a step of nothing, so that whoever believes the count reads one entry for ever.
    changed = {
        "entries": whole.replace(entry, struct.pack("<HH", 1, 0xFFFF) + entry[4:]),
        "tables": whole.replace(number, struct.pack("<QQ", 0x6FFFFFFF, 1 << 40)),
    }[forged]
    with pytest.raises(UnreadableElfError, match="thousands of versions"):
        read(io.BytesIO(changed))


def test_segments_without_number_are_refused_at_once() -> None:
    whole = loadable(needed=["libz.so.1"])
    many = whole[:54] + struct.pack("<HH", 56, 257) + whole[58:] + bytes(56 * 257)
    with pytest.raises(UnreadableElfError, match="hundreds of segments"):
        read(io.BytesIO(many))
