from __future__ import annotations

import os
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge import deflate, entry, forge
from layerkit.archive import (
    Archive,
    ArchiveError,
    DamagedRunError,
    Piece,
    Run,
    compose,
    fold,
    write_run,
)
from layerkit.errors import StorageError, WheelError
from zip_cases import ACCEPTED, DATA, NOISE, PACKED, REFUSED, UNREADABLE, content, laid, oracle, small

_QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str, tmp_path: Path) -> None:
    data, expected = REFUSED[case]
    with pytest.raises(ArchiveError) as caught:
        Archive.open(laid(tmp_path, data))
    assert {problem.case for problem in caught.value.problems} == expected


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepts_and_reads_what_zipfile_reads(case: str, tmp_path: Path) -> None:
    data, expected = ACCEPTED[case]
    path = laid(tmp_path, data)
    assert content(path) == expected == oracle(path)


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("how", ["read", "chunks"])
def test_refuses_to_read(case: str, how: str, tmp_path: Path) -> None:
    data, expected = UNREADABLE[case]
    with Archive.open(laid(tmp_path, data)) as archive, pytest.raises(ArchiveError) as caught:
        list(getattr(archive, how)(archive.members[0]))
    assert [problem.case for problem in caught.value.problems] == [expected]
    assert caught.value.problems[0].member == "a"


def test_tells_every_problem_at_once(tmp_path: Path) -> None:
    data = forge(entry("../a"), entry("b", flags=1), entry("ok"), entry("ok"), entry("c", mode=0o120777))
    with pytest.raises(WheelError) as caught:
        Archive.open(laid(tmp_path, data, "odd-1.0-py3-none-any.whl"))
    text = str(caught.value)
    assert text.startswith("odd-1.0-py3-none-any.whl: 4 reasons to refuse this archive")
    for line in (
        "../a: leads out",
        "b: is encrypted",
        "ok: is there more than once",
        "c: is a symbolic link",
    ):
        assert line in text
    assert caught.value.exit_code == 8


def test_a_single_problem_names_file_member_and_case(tmp_path: Path) -> None:
    path = laid(tmp_path, forge(entry("a", flags=1)), "0123abcd")
    with pytest.raises(WheelError) as caught:
        Archive.open(path, name="a-1.0-py3-none-any.whl")
    assert str(caught.value) == "a-1.0-py3-none-any.whl: a: is encrypted [encrypted]"
    as_json: Any = caught.value.as_json()
    assert as_json["problems"] == [{"case": "encrypted", "member": "a", "text": "is encrypted"}]


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(WheelError) as caught:
        Archive.open(laid(tmp_path, forge(entry("\x1b]0;owned\x07" + "x" * 900), entry("a\u202eb\n"))))
    assert str(caught.value).replace("\n  ", "").isprintable()
    assert len(str(caught.value)) < 900


def test_a_flood_of_problems_stays_short(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        Archive.open(laid(tmp_path, forge(*(entry(f"a{i}\\") for i in range(1500)))))
    assert len(caught.value.problems) == 1000
    assert len(str(caught.value).splitlines()) < 30


def test_missing_file_and_folder_are_storage_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.whl", tmp_path):
        with pytest.raises(StorageError):
            Archive.open(path)


def test_trailing_nuls_are_dropped_and_said(tmp_path: Path) -> None:
    path = laid(tmp_path, small() + bytes(500))
    with Archive.open(path) as archive:
        assert archive.notes == ("500 NUL bytes behind its end were dropped",)
        assert len(archive.members) == 2


def test_a_refused_archive_leaves_no_open_file(tmp_path: Path) -> None:
    path = laid(tmp_path, forge(entry("../a")))
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(ArchiveError):
        Archive.open(path)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_expansion_as_a_whole_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bytes(1 << 20)
    path = laid(tmp_path, forge(*(entry(f"m{i}", zeros) for i in range(70))))
    with pytest.raises(ArchiveError) as caught:
        Archive.open(path)
    assert [problem.case for problem in caught.value.problems] == ["ratio-too-high"]
    monkeypatch.setattr("layerkit.archive.examine.MAX_UNPACKED", 70 << 20)
    monkeypatch.setattr("layerkit.archive.examine.RATIO_FREE", 70 << 20)
    with Archive.open(path) as archive:
        assert len(archive.members) == 70
    monkeypatch.setattr("layerkit.archive.examine.MAX_UNPACKED", (70 << 20) - 1)
    with pytest.raises(ArchiveError, match="unpacks-too-large"):
        Archive.open(path)


def test_members_come_in_the_order_of_their_bytes_with_their_modes(tmp_path: Path) -> None:
    modes = {
        "run": 0o100755,
        "odd": 0o100001,
        "setuid": 0o104755,
        "plain": 0o100644,
        "none": 0,
        "bare": 0o755,
    }
    path = laid(tmp_path, forge(*(entry(name, mode=mode) for name, mode in modes.items())))
    with Archive.open(path) as archive:
        assert [member.name for member in archive.members] == list(modes)
        executable = {member.name for member in archive.members if member.executable}
    assert executable == {"run", "odd", "setuid", "bare"}


def test_raw_is_the_stream_as_it_lies_in_the_file(tmp_path: Path) -> None:
    path = laid(tmp_path, forge(entry("a"), entry("b", method=0)))
    with Archive.open(path) as archive:
        a, b = archive.members
        assert archive.raw(a) == PACKED
        assert archive.raw(b) == DATA
        assert path.read_bytes()[a.offset : a.offset + a.packed] == PACKED


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 3 << 20, (3 << 20) + 7])
@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("method", [0, 8])
def test_chunks_add_up(size: int, noisy: bool, method: int, tmp_path: Path) -> None:  # noqa: FBT001
    data = os.urandom(size) if noisy else b"layer" * (size // 5) + b"." * (size % 5)
    path = laid(tmp_path, forge(entry("big", data, method=method)))
    with Archive.open(path) as archive:
        (member,) = archive.members
        chunks = list(archive.chunks(member))
        assert max(map(len, chunks)) <= 1 << 20
        same = b"".join(chunks) == data == archive.read(member)
        assert same  # as a plain bool: pytest would take minutes to tell such bytes apart


@pytest.mark.parametrize(
    ("change", "case"),
    [
        ({"stream": deflate(bytes(3 << 20))[:-2]}, "deflate-unfinished"),
        ({"stream": deflate(bytes(3 << 20)) + b"x" * (2 << 20)}, "deflate-bytes-behind"),
        ({"local": {"size": 2 << 20}, "central": {"size": 2 << 20}}, "content-size"),
        ({"local": {"crc": 7}, "central": {"crc": 7}}, "content-crc"),
    ],
)
def test_large_members_are_verified_too(change: dict[str, Any], case: str, tmp_path: Path) -> None:
    path = laid(tmp_path, forge(entry("big", bytes(3 << 20), **change)))
    with Archive.open(path) as archive, pytest.raises(ArchiveError, match=case):
        archive.read(archive.members[0])


def test_a_file_cut_short_while_open_is_noticed(tmp_path: Path) -> None:
    path = laid(tmp_path, forge(entry("a", NOISE, method=0)))
    with Archive.open(path) as archive:
        os.truncate(path, 50)
        with pytest.raises(ArchiveError, match="file-truncated"):
            archive.read(archive.members[0])
        with pytest.raises(ArchiveError, match="file-truncated"):
            write_run(tmp_path / "a.run", [Piece.copy(archive, archive.members[0])], b"")


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = laid(tmp_path, forge(entry("big", os.urandom(24 << 20), method=0)))
    tracemalloc.start()
    try:
        with Archive.open(path) as archive:
            (member,) = archive.members
            assert sum(map(len, archive.chunks(member))) == 24 << 20
            write_run(tmp_path / "big.run", [Piece.copy(archive, member)], b"")
        compose(tmp_path / "big.zip", [Run.open(tmp_path / "big.run")])
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


def test_fold() -> None:
    assert fold("Numpy/CORE.py") == "numpy/core.py"
    assert fold("Stra\u00dfe") == fold("STRASSE")
    assert fold("caf\u00e9") == fold("CAFE\u0301")
    assert fold("a") != fold("b")


@_QUIET
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_harmless(data: st.DataObject, tmp_path: Path) -> None:
    files = {"a.py": b"import b\n", "pkg/b.py": b"x = 1\n"}
    archive = bytearray(small())
    at = data.draw(st.integers(0, len(archive) - 1))
    archive[at] ^= data.draw(st.integers(1, 255))
    try:
        found = content(laid(tmp_path, bytes(archive)))
    except ArchiveError:
        return
    assert found == files  # dates, versions and modes may change; names and content may not


@_QUIET
@given(junk=st.binary(max_size=200), cut=st.integers(0, 200))
def test_junk_raises_nothing_but_the_own_error(junk: bytes, cut: int, tmp_path: Path) -> None:
    for data in (junk, small()[:cut] + junk + small()[cut:], small()[:cut] + junk, junk + small()[cut:]):
        with suppress(ArchiveError):  # either outcome is right, a crash is not
            content(laid(tmp_path, data))


def test_a_run_opens_as_the_archive_that_its_members_would_be(tmp_path: Path) -> None:
    pieces = [
        Piece(name="b/tool", data=b"#!/bin/sh\n", executable=True),
        Piece(name="a.txt", data=b"a" * 5000),
        Piece(name="ü", data=b""),
    ]
    write_run(tmp_path / "run", pieces, b"info")
    with Archive.of_run(Run.open(tmp_path / "run")) as archive:
        contents = {member.name: (archive.read(member), member.executable) for member in archive.members}
    assert contents == {"a.txt": (b"a" * 5000, False), "b/tool": (b"#!/bin/sh\n", True), "ü": (b"", False)}


def test_a_run_that_rotted_does_not_open(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [Piece(name="a", data=bytes(range(256)))], b"")
    data = bytearray((tmp_path / "run").read_bytes())
    data[100] ^= 1
    (tmp_path / "run").write_bytes(data)
    with pytest.raises(DamagedRunError):
        Archive.of_run(Run.open(tmp_path / "run"))


def test_a_plain_file_is_an_archive_of_one_stored_member(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with Archive.of_file(tmp_path / "file", crc=zlib.crc32(b"content")) as archive:
        (member,) = archive.members
        assert (member.name, archive.read(member)) == ("file", b"content")
