from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge import DESCRIPTOR, MAX16, MAX32, UTF8, deflate, descriptor, entry, forge, late, unicode_path, zip64
from layerkit.archive import (
    Archive,
    ArchiveError,
    Piece,
    Run,
    compose,
    fold,
    write_run,
    write_zip,
)
from layerkit.errors import StorageError, WheelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerkit.archive import Composed

DATA = b"content " * 8
PACKED = deflate(DATA)
HTML = b"<!doctype html><title>Sign in</title>" + b"<p>" * 900
NOISE = os.urandom(100)  # deflate cannot make it smaller


def small() -> bytes:
    return forge(entry("a.py", b"import b\n"), entry("pkg/b.py", b"x = 1\n"))


def nested() -> bytes:
    return forge(entry("inner.py"))


# What is refused before or while the members are listed: the forged archive, and the cases it must show.
REFUSED: dict[str, tuple[bytes, set[str]]] = {
    # the file as a whole
    "empty file": (b"", {"file-empty"}),
    "html page": (HTML, {"file-html"}),
    "xml page": (b'\xef\xbb\xbf<?xml version="1.0"?><Error/>', {"file-html"}),
    "text": (b"not found", {"file-no-zip"}),
    "tar.gz": (b"\x1f\x8b\x08\x00" + bytes(100), {"file-no-zip"}),
    "truncated in the members": (small()[:60], {"file-truncated"}),
    "truncated in the end record": (small()[:-1], {"file-truncated"}),
    "bytes behind": (forge(entry("a"), suffix=b"tail"), {"bytes-behind"}),
    "bytes behind, then NULs": (forge(entry("a"), suffix=b"tail" + bytes(9)), {"bytes-behind"}),
    "bytes before, offsets adjusted": (forge(entry("a"), prefix=b"#!/bin/sh\n"), {"bytes-before"}),
    "bytes before, offsets not": (forge(entry("a"), prefix=b"MZ" * 9, adjusted=False), {"bytes-before"}),
    "archive in the comment": (forge(entry("a"), comment=nested()), {"archive-in-comment"}),
    "archive in the comment, not at its end": (
        forge(entry("a"), comment=nested() + b"."),
        {"archive-in-comment"},
    ),
    "directory misplaced": (forge(entry("a"), end={"start": 3}), {"directory-misplaced"}),
    "directory past the end": (forge(entry("a"), end={"start": 9999}), {"directory-misplaced"}),
    "directory damaged": (forge(entry("a"), in_directory=b"PK\x05\x05\x02\x00ab"), {"directory-damaged"}),
    "directory breaks off": (
        forge(entry("a", central={"comment": b""}), in_directory=b"PK\x01\x02" + b"\xff" * 42),
        {"directory-damaged"},
    ),
    "many disks": (forge(entry("a"), end={"disk": 1}), {"many-disks"}),
    "member on another disk": (forge(entry("a", central={"disk": 2})), {"many-disks"}),
    "too few entries": (forge(entry("a"), entry("b"), end={"here": 3, "entries": 3}), {"entry-count"}),
    "too many entries": (
        forge(entry("a"), entry("b"), end={"here": 1, "entries": 1}),
        {"entry-count", "entry-unlisted"},
    ),
    "counts differ": (forge(entry("a"), end={"here": 2}), {"entry-count"}),
    "entry unlisted at the end": (forge(entry("a"), entry("b", listed=0)), {"entry-unlisted"}),
    "entry unlisted at the start": (forge(entry("a", listed=0), entry("b")), {"entry-unlisted"}),
    "entry unlisted in the middle": (
        forge(entry("a"), entry("b", listed=0), entry("c")),
        {"entry-unlisted"},
    ),
    "bytes between": (forge(entry("a", behind=b"gap"), entry("b")), {"bytes-between"}),
    "bytes before the directory": (forge(entry("a"), before_directory=b"gap"), {"bytes-between"}),
    "no entries, but bytes": (forge(before_directory=b"gap"), {"bytes-before"}),
    "entry twice in the directory": (forge(entry("a", listed=2)), {"name-twice", "overlap"}),
    "overlap": (
        # The directory points at the twin that lies inside the stored archive `z`.
        forge(entry("z", small(), method=0), entry("a.py", b"import b\n", central={"offset": 31})),
        {"overlap", "entry-unlisted"},
    ),
    "reaches into its neighbour": (
        forge(
            entry("a", method=0, central={"packed": 80, "size": 80}, local={"packed": 80, "size": 80}),
            entry("b"),
        ),
        {"overlap"},
    ),
    "reaches into the directory": (
        forge(entry("a", method=0, central={"packed": 80, "size": 80}, local={"packed": 80, "size": 80})),
        {"overlap"},
    ),
    "no local header": (forge(entry("a", local={"magic": b"PK\x03\x05"})), {"local-header-missing"}),
    "local header past the directory": (
        forge(entry("a"), entry("b", central={"offset": 5000})),
        {"local-header-missing", "entry-unlisted"},
    ),
    # names
    "same name, same bytes": (forge(entry("a"), entry("a")), {"name-twice"}),
    "same name, other bytes": (forge(entry("a"), entry("a", b"other")), {"name-twice"}),
    "equal after casefold": (forge(entry("Pkg/a.py"), entry("pkg/A.py")), {"name-folds-equal"}),
    "equal after full casefold": (forge(entry("stra\u00dfe"), entry("STRASSE")), {"name-folds-equal"}),
    "equal after normalisation": (forge(entry("caf\u00e9"), entry("cafe\u0301")), {"name-folds-equal"}),
    "file and folder of others": (forge(entry("a"), entry("a/b")), {"file-and-folder"}),
    "file and folder entry": (forge(entry("a"), entry("a/", b"", method=0)), {"file-and-folder"}),
    "file and folder in another case": (forge(entry("A"), entry("a/b")), {"file-and-folder"}),
    "empty name": (forge(entry("")), {"name-empty"}),
    "name is a slash": (forge(entry("/", b"", method=0)), {"name-absolute"}),
    "parent": (forge(entry("../a")), {"name-parent"}),
    "parent within": (forge(entry("a/../b")), {"name-parent"}),
    "parent at the end": (forge(entry("a/..")), {"name-parent"}),
    "absolute": (forge(entry("/etc/passwd")), {"name-absolute"}),
    "drive": (forge(entry("C:/a")), {"name-drive"}),
    "drive, relative": (forge(entry("c:a")), {"name-drive"}),
    "backslash": (forge(entry("a\\b")), {"name-backslash"}),
    "dot": (forge(entry("./a")), {"name-not-plain"}),
    "dot within": (forge(entry("a/./b")), {"name-not-plain"}),
    "two slashes": (forge(entry("a//b")), {"name-not-plain"}),
    "folder with two slashes": (forge(entry("a//", b"", method=0)), {"name-not-plain"}),
    "NUL": (forge(entry("a.py\0.txt")), {"name-control"}),
    "newline": (forge(entry("a\nb")), {"name-control"}),
    "newline at the end": (forge(entry("a\n")), {"name-control"}),
    "escape": (forge(entry("\x1b[31ma")), {"name-control"}),
    "C1 control": (forge(entry("a\x9bb")), {"name-control"}),
    "component of 256": (forge(entry("a" * 256)), {"name-too-long"}),
    "component of 256 bytes in UTF-8": (forge(entry("\u00e9" * 128)), {"name-too-long"}),
    "path of 1025": (forge(entry("a/" * 512 + "b")), {"name-too-long"}),
    "trailing dot": (forge(entry("a./b")), {"name-trailing"}),
    "trailing space": (forge(entry("a/b ")), {"name-trailing"}),
    "invalid UTF-8": (forge(entry(b"\xff\xfe", flags=UTF8)), {"name-not-utf8"}),
    "overlong UTF-8": (forge(entry(b"a\xc0\xafb", flags=UTF8)), {"name-not-utf8"}),
    "non-ASCII without the flag": (forge(entry(b"caf\xc3\xa9", flags=0)), {"name-without-utf8-flag"}),
    "Unicode path renames, central": (
        forge(entry("a.py", central={"extra": unicode_path(b"b.py", b"a.py")})),
        {"unicode-path-renames"},
    ),
    "Unicode path renames, local": (
        forge(entry("a.py", local={"extra": unicode_path(b"b.py", b"a.py")})),
        {"unicode-path-renames"},
    ),
    # headers that disagree
    "other name": (forge(entry("a.py", local={"name": b"b.py"})), {"headers-differ"}),
    "other name, longer": (forge(entry("a.py", local={"name": b"a.pyc"})), {"headers-differ"}),
    "other name, shorter": (forge(entry("a.py", local={"name": b"a"})), {"headers-differ"}),
    "other method": (forge(entry("a", local={"method": 0})), {"headers-differ"}),
    "other size": (forge(entry("a", local={"size": 1})), {"headers-differ"}),
    "other packed size": (forge(entry("a", local={"packed": 1})), {"headers-differ"}),
    "other CRC": (forge(entry("a", local={"crc": 1})), {"headers-differ"}),
    "other flags": (forge(entry("a", local={"flags": UTF8})), {"headers-differ"}),
    "sizes zero without a descriptor": (
        forge(entry("a", local={"crc": 0, "packed": 0, "size": 0})),
        {"headers-differ"},
    ),
    "extra breaks off, central": (forge(entry("a", central={"extra": b"UT\x09\x00abc"})), {"extra-damaged"}),
    "extra breaks off, local": (forge(entry("a", local={"extra": b"UT"})), {"extra-damaged"}),
    # descriptors
    "descriptor missing": (forge(entry("a", flags=DESCRIPTOR), entry("b")), {"descriptor-wrong"}),
    "descriptor with wrong CRC": (
        forge(entry("a", flags=DESCRIPTOR, behind=pack("<4s3L", b"PK\x07\x08", 1, len(PACKED), 64))),
        {"descriptor-wrong"},
    ),
    "descriptor with wrong size": (
        forge(entry("a", flags=DESCRIPTOR, behind=pack("<3L", zlib.crc32(DATA), len(PACKED), 65))),
        {"descriptor-wrong"},
    ),
    "descriptor, then bytes": (
        forge(entry("a", flags=DESCRIPTOR, behind=descriptor(DATA) + b"gap"), entry("b")),
        {"bytes-between"},
    ),
    "descriptor without its flag": (forge(entry("a", behind=descriptor(DATA))), {"bytes-between"}),
    # what no wheel may hold
    "encrypted": (forge(entry("a", flags=1)), {"encrypted"}),
    "strongly encrypted": (forge(entry("a", flags=1 | 1 << 6)), {"encrypted"}),
    "masked headers": (forge(entry("a", flags=1 << 13)), {"encrypted"}),
    "patched data": (forge(entry("a", flags=1 << 5)), {"flags-unknown"}),
    "bzip2": (forge(entry("a", stream=b"BZh9", method=12)), {"method-unsupported"}),
    "lzma": (forge(entry("a", stream=b"", method=14)), {"method-unsupported", "ratio-impossible"}),
    "deflate64": (forge(entry("a", stream=b"....", method=9)), {"method-unsupported"}),
    "symlink": (forge(entry("a", b"/etc/passwd", mode=0o120777)), {"symlink"}),
    "device": (forge(entry("a", mode=0o020644)), {"special-file"}),
    "folder mode on a file": (forge(entry("a", mode=0o040755)), {"special-file"}),
    "folder with data": (forge(entry("a/", b"data")), {"folder-with-data"}),
    "folder with a stream": (
        forge(entry("a/", b"", stream=b"hidden", method=8)),
        {"folder-with-data"},
    ),
    "stored of two sizes": (
        forge(entry("a", method=0, local={"size": 63}, central={"size": 63})),
        {"stored-size"},
    ),
    "impossible ratio": (
        forge(entry("a", local={"size": 1 << 20}, central={"size": 1 << 20})),
        {"ratio-impossible"},
    ),
    # ZIP64
    "ZIP64 size without its field": (
        forge(entry("a", central={"size": MAX32})),
        {"zip64-dishonest", "headers-differ", "ratio-impossible", "ratio-too-high"},
    ),
    "ZIP64 field too long": (
        forge(entry("a", central={"size": MAX32, "extra": zip64(64, 64)})),
        {"zip64-dishonest", "headers-differ", "ratio-impossible", "ratio-too-high"},
    ),
    "ZIP64 field not a row of values": (
        forge(entry("a", local={"extra": pack("<2H", 1, 4) + b"size"})),
        {"zip64-dishonest"},
    ),
    "ZIP64 field empty": (forge(entry("a", central={"extra": zip64()})), {"zip64-dishonest"}),
    "ZIP64 field that differs": (
        forge(entry("a", local={"extra": zip64(65, len(PACKED))})),
        {"zip64-dishonest"},
    ),
    "two ZIP64 fields": (
        forge(entry("a", local={"extra": zip64(64, len(PACKED)) * 2})),
        {"zip64-dishonest"},
    ),
    "ZIP64 local sizes that differ": (
        forge(entry("a", local={"size": MAX32, "packed": MAX32, "extra": zip64(65, len(PACKED))})),
        {"headers-differ"},
    ),
    "ZIP64 sizes in the directory, not in the header": (
        forge(
            entry(
                "a",
                local={"size": MAX32, "packed": MAX32},
                central={"size": MAX32, "packed": MAX32, "extra": zip64(64, len(PACKED))},
            )
        ),
        {"zip64-dishonest"},
    ),
    "ZIP64 sizes beyond the file": (
        forge(
            entry("a", central={"packed": MAX32, "extra": zip64(2**64 - 9)}),
            entry("b", central={"offset": MAX32, "extra": zip64(2**64 - 1)}),
        ),
        {"headers-differ", "overlap", "local-header-missing"},
    ),
    "ZIP64 end disagrees": (forge(entry("a"), zip64=True, end={"entries": 2}), {"zip64-dishonest"}),
    "ZIP64 end with other count": (
        forge(entry("a"), zip64=True, end64={"entries": 2, "here": 2}),
        {"entry-count"},
    ),
    "ZIP64 end on a disk": (forge(entry("a"), zip64=True, end64={"disk": 1}), {"zip64-dishonest"}),
    "ZIP64 extensible data": (
        forge(entry("a"), zip64=True, extensible=b"more bytes"),
        {"zip64-extensible-data"},
    ),
    "ZIP64 record of another length": (
        forge(entry("a"), zip64=True, end64={"rest": 45}),
        {"zip64-extensible-data"},
    ),
    "ZIP64 locator astray": (forge(entry("a"), zip64=True, locator={"at": 1}), {"zip64-dishonest"}),
    "ZIP64 locator beyond": (forge(entry("a"), zip64=True, locator={"at": 2**63}), {"zip64-dishonest"}),
    "ZIP64 locator of two disks": (forge(entry("a"), zip64=True, locator={"disks": 2}), {"zip64-dishonest"}),
    "ZIP64 count beyond all": (
        forge(entry("a"), zip64=True, end64={"entries": 2**40, "here": 2**40}),
        {"too-many-entries"},
    ),
    "ZIP64 directory beyond all": (
        forge(entry("a"), zip64=True, end64={"length": 2**40}),
        {"too-many-entries"},
    ),
}

# What is odd but honest: the archive, and the name -> content that every reader must see.
ACCEPTED: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "no entries": (forge(), {}),
    "plain": (small(), {"a.py": b"import b\n", "pkg/b.py": b"x = 1\n"}),
    "stored": (forge(entry("a", method=0)), {"a": DATA}),
    "no content": (forge(entry("a", b""), entry("b", b"", method=0)), {"a": b"", "b": b""}),
    "folder": (forge(entry("p/", b"", method=0, mode=0o40755), entry("p/a")), {"p/a": DATA}),
    "folder, deflated": (forge(entry("p/", b"", method=8), entry("p/a")), {"p/a": DATA}),
    "UTF-8 name": (forge(entry("caf\u00e9/\u65e5\u672c.py")), {"caf\u00e9/\u65e5\u672c.py": DATA}),
    "names with odd characters": (
        forge(entry("a b/..c/.d/e:f/~g/h+i=j@k(1)")),
        {"a b/..c/.d/e:f/~g/h+i=j@k(1)": DATA},
    ),
    "component of 255": (forge(entry("a" * 255 + "/b")), {"a" * 255 + "/b": DATA}),
    "folders that differ in case": (forge(entry("A/x"), entry("a/y")), {"A/x": DATA, "a/y": DATA}),
    "date before 1980": (forge(entry("a", local={"date": 0}, central={"date": 0})), {"a": DATA}),
    "dates that differ": (forge(entry("a", local={"date": 1, "time": 77})), {"a": DATA}),
    "level flags that differ": (forge(entry("a", flags=2, local={"flags": 4})), {"a": DATA}),
    "archive comment": (forge(entry("a"), comment=b"PK was here"), {"a": DATA}),
    "longest comment": (forge(entry("a"), comment=b"." * MAX16), {"a": DATA}),
    "member comment": (forge(entry("a", central={"comment": b"fine"})), {"a": DATA}),
    "archive stored in an archive": (forge(entry("in.zip", nested(), method=0)), {"in.zip": nested()}),
    "timestamps": (
        forge(entry("a", local={"extra": b"UT\x05\x00\x03abcd"}, central={"extra": b"UT\x05\x00\x03abcd"})),
        {"a": DATA},
    ),
    "Unicode path that agrees": (
        forge(entry("a.py", central={"extra": unicode_path(b"a.py", b"a.py")})),
        {"a.py": DATA},
    ),
    "descriptor": (forge(late("a"), late("b")), {"a": DATA, "b": DATA}),
    "descriptor without magic": (
        forge(late("a", magic=False), late("b", magic=False)),
        {"a": DATA, "b": DATA},
    ),
    "descriptor, 64-bit": (forge(late("a", wide=True), entry("b")), {"a": DATA, "b": DATA}),
    "descriptor, 64-bit without magic": (forge(late("a", wide=True, magic=False)), {"a": DATA}),
    "descriptor, header filled in as well": (
        forge(entry("a", flags=DESCRIPTOR, behind=descriptor(DATA))),
        {"a": DATA},
    ),
    "descriptor behind stored content": (
        forge(entry("a", method=0, flags=DESCRIPTOR, behind=descriptor(DATA, stored=True))),
        {"a": DATA},
    ),
    "ZIP64 end": (forge(entry("a"), zip64=True), {"a": DATA}),
    "ZIP64 end, plain values repeated": (
        forge(entry("a"), zip64=True, end={"entries": 1, "here": 1}),
        {"a": DATA},
    ),
    "ZIP64 local sizes": (
        forge(entry("a", local={"size": MAX32, "packed": MAX32, "extra": zip64(64, len(PACKED))})),
        {"a": DATA},
    ),
    "ZIP64 everywhere": (
        forge(
            entry(
                "a",
                local={"size": MAX32, "packed": MAX32, "extra": zip64(64, len(PACKED))},
                central={
                    "size": MAX32,
                    "packed": MAX32,
                    "offset": MAX32,
                    "extra": zip64(64, len(PACKED), 0),
                },
            )
        ),
        {"a": DATA},
    ),
    "ZIP64 sizes repeated, as Bazel does": (
        forge(entry("a", local={"extra": zip64(64, len(PACKED))})),
        {"a": DATA},
    ),
}

# What only shows when a member is read.
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "wrong CRC": (forge(entry("a", local={"crc": 1}, central={"crc": 1})), "content-crc"),
    "wrong CRC, stored": (forge(entry("a", method=0, local={"crc": 1}, central={"crc": 1})), "content-crc"),
    "more than it says": (forge(entry("a", local={"size": 9}, central={"size": 9})), "content-size"),
    "less than it says": (forge(entry("a", local={"size": 99}, central={"size": 99})), "content-size"),
    "stream breaks off": (forge(entry("a", stream=PACKED[:-1])), "deflate-unfinished"),
    "stream is empty": (forge(entry("a", b"", stream=b"")), "deflate-unfinished"),
    "stream not finished, all content there": (
        forge(entry("a", stream=b"\x00" + pack("<2H", 64, MAX16 - 64) + DATA)),
        "deflate-unfinished",
    ),
    "bytes behind the stream": (forge(entry("a", stream=PACKED + b"\0")), "deflate-bytes-behind"),
    "a second stream": (forge(entry("a", stream=PACKED * 2)), "deflate-bytes-behind"),
    "no stream": (forge(entry("a", stream=b"\x07" * 9)), "deflate-damaged"),
    "zlib header": (forge(entry("a", stream=zlib.compress(DATA))), "deflate-damaged"),
}


def laid(folder: Path, data: bytes, name: str = "some.whl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def content(path: Path) -> dict[str, bytes]:
    with Archive.open(path) as archive:
        return {member.name: archive.read(member) for member in archive.members}


def oracle(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}


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


# Writing


def made(path: Path, files: dict[str, bytes], info: bytes = b"{}") -> Run:
    write_run(path, [Piece(name=name, data=data) for name, data in files.items()], info)
    return Run.open(path)


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [
        made(tmp_path / "one.run", {"pkg/z.py": b"z = 1\n" * 9, "pkg/a.py": b"", "bin/noise": NOISE}),
        made(tmp_path / "two.run", {"other/\u00e9.py": DATA, "other/b.py": b"b"}),
    ]


def test_run_tells_what_it_holds(runs: list[Run]) -> None:
    run = runs[0]
    assert [entry.name for entry in run.names()] == ["bin/noise", "pkg/a.py", "pkg/z.py"]
    assert [entry.size for entry in run.names()] == [100, 0, 54]
    assert [entry.crc for entry in run.names()] == [zlib.crc32(NOISE), 0, zlib.crc32(b"z = 1\n" * 9)]
    assert (run.entries, run.unzipped, run.info) == (3, 154, b"{}")
    assert run.zipped == sum(entry.length for entry in run.names())
    assert run.names()[1].offset == run.names()[0].length
    assert run.size == run.path.stat().st_size


def test_empty_run(tmp_path: Path) -> None:
    run = made(tmp_path / "empty.run", {})
    assert (run.entries, run.zipped, run.names()) == (0, 0, [])
    assert compose(tmp_path / "empty.zip", [run]).entries == 0
    assert content(tmp_path / "empty.zip") == {}


def test_composed_zip_holds_all_runs(runs: list[Run], tmp_path: Path) -> None:
    done = compose(tmp_path / "layer.zip", runs)
    data = (tmp_path / "layer.zip").read_bytes()
    assert done.size == len(data)
    assert done.sha256 == hashlib.sha256(data).hexdigest()
    assert (done.entries, done.unzipped) == (5, 154 + 64 + 1)
    expected = {
        "bin/noise": NOISE,
        "pkg/a.py": b"",
        "pkg/z.py": b"z = 1\n" * 9,
        "other/b.py": b"b",
        "other/\u00e9.py": DATA,
    }
    assert content(tmp_path / "layer.zip") == expected == oracle(tmp_path / "layer.zip")


def test_members_are_written_in_one_plain_form(tmp_path: Path) -> None:
    source = laid(
        tmp_path,
        forge(
            late("late.py"), entry("run.sh", mode=0o100775), entry("old", central={"comment": b"x"}, method=0)
        ),
    )
    with Archive.open(source) as archive:
        pieces = [Piece.copy(archive, member) for member in archive.members]
        write_zip(tmp_path / "plain.zip", [*pieces, Piece(name="new", data=NOISE, executable=True)])
    with zipfile.ZipFile(tmp_path / "plain.zip") as plain:
        infos = plain.infolist()
    assert [info.filename for info in infos] == ["late.py", "new", "old", "run.sh"]
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {(i.create_system, i.create_version, i.extract_version) for i in infos} == {(3, 20, 20)}
    assert {(i.flag_bits, i.extra, i.comment, i.internal_attr) for i in infos} == {(0, b"", b"", 0)}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    plain_mode, executable = stat.S_IFREG | 0o644, stat.S_IFREG | 0o755
    assert modes == {"late.py": plain_mode, "new": executable, "old": plain_mode, "run.sh": executable}
    assert [info.compress_type for info in infos] == [8, 0, 0, 8]


def test_streams_are_taken_over_byte_for_byte(tmp_path: Path) -> None:
    level_one = zlib.compressobj(1, zlib.DEFLATED, -15)
    data = DATA * 99
    stream = level_one.compress(data) + level_one.flush()
    assert stream != deflate(data)
    with Archive.open(laid(tmp_path, forge(entry("a", data, stream=stream)))) as archive:
        (member,) = archive.members
        write_run(tmp_path / "a.run", [Piece.copy(archive, member, "python/a")], b"")
    run = Run.open(tmp_path / "a.run")
    compose(tmp_path / "a.zip", [run])
    with Archive.open(tmp_path / "a.zip") as archive:
        assert [member.name for member in archive.members] == ["python/a"]
        assert archive.raw(archive.members[0]) == stream


def test_skip_leaves_members_out(runs: list[Run], tmp_path: Path) -> None:
    done = compose(
        tmp_path / "some.zip", runs, skip={0: frozenset({"pkg/a.py"}), 1: frozenset({"other/b.py"})}
    )
    assert sorted(content(tmp_path / "some.zip")) == ["bin/noise", "other/\u00e9.py", "pkg/z.py"]
    assert content(tmp_path / "some.zip") == oracle(tmp_path / "some.zip")
    assert (done.entries, done.unzipped) == (3, 100 + 54 + 64)
    compose(
        tmp_path / "none.zip",
        runs,
        skip={i: frozenset(e.name for e in r.names()) for i, r in enumerate(runs)},
    )
    assert content(tmp_path / "none.zip") == {}


def test_skipping_a_twin_resolves_a_collision(tmp_path: Path) -> None:
    runs = [made(tmp_path / f"{i}.run", {"shared/__init__.py": b"", f"m{i}.py": b"x"}) for i in range(2)]
    with pytest.raises(ArchiveError, match="name-twice"):
        compose(tmp_path / "c.zip", runs)
    compose(tmp_path / "c.zip", runs, skip={1: frozenset({"shared/__init__.py"})})
    assert sorted(content(tmp_path / "c.zip")) == ["m0.py", "m1.py", "shared/__init__.py"]


@pytest.mark.parametrize(
    ("first", "second", "case"),
    [
        ("a/B.py", "a/b.py", "name-folds-equal"),
        ("a", "a/b", "file-and-folder"),
        ("a/b", "a", "file-and-folder"),
    ],
)
def test_runs_that_collide_are_refused(first: str, second: str, case: str, tmp_path: Path) -> None:
    runs = [made(tmp_path / "1.run", {first: b""}), made(tmp_path / "2.run", {second: b""})]
    with pytest.raises(ArchiveError, match=case):
        compose(tmp_path / "c.zip", runs)


@pytest.mark.parametrize(
    ("names", "case"),
    [
        (["a", "a"], "name-twice"),
        (["a", "A"], "name-folds-equal"),
        (["a/b", "a"], "file-and-folder"),
        (["../a"], "name-parent"),
        (["a/"], "name-not-plain"),
        (["\ud800"], "name-not-utf8"),
    ],
)
def test_pieces_with_bad_names_are_refused(names: list[str], case: str, tmp_path: Path) -> None:
    for write in (lambda p, pieces: write_run(p, pieces, b""), write_zip):
        with pytest.raises(ArchiveError, match=case):
            write(tmp_path / "x", [Piece(name=name, data=b"") for name in names])


def test_order_of_pieces_umask_and_time_leave_no_trace(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"pkg/z.py": b"z = 1\n" * 9, "pkg/a.py": b"", "bin/noise": NOISE}
    first = compose(tmp_path / "1.zip", runs)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    umask = os.umask(0o077)
    try:
        again = made(tmp_path / "elsewhere.run", dict(sorted(files.items())))
        assert again.path.read_bytes() == runs[0].path.read_bytes()
        assert compose(tmp_path / "2.zip", [again, runs[1]]) == first
    finally:
        os.umask(umask)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_run_and_zip_of_the_same_pieces_agree(tmp_path: Path) -> None:
    pieces = [Piece(name=f"m{i}.py", data=b"%d" % i * i, executable=i % 2 == 0) for i in range(20)]
    write_run(tmp_path / "p.run", pieces, b"anything")
    assert compose(tmp_path / "1.zip", [Run.open(tmp_path / "p.run")]) == write_zip(
        tmp_path / "2.zip", pieces
    )
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def damage_footer(data: bytearray) -> None:
    data[-20] ^= 1


def damage_central(data: bytearray) -> None:
    data[data.index(b"PK\x01\x02") + 42] ^= 1


def damage_info(data: bytearray) -> None:
    data[data.index(b"INFO")] ^= 1


def cut_front(data: bytearray) -> None:
    del data[0]


def cut_end(data: bytearray) -> None:
    del data[-1]


def append(data: bytearray) -> None:
    data += b"\0"


def empty(data: bytearray) -> None:
    data.clear()


@pytest.mark.parametrize(
    "damage", [damage_footer, damage_central, damage_info, cut_front, cut_end, append, empty]
)
def test_damaged_runs_are_refused(damage: Callable[[bytearray], None], tmp_path: Path) -> None:
    run = made(tmp_path / "a.run", {"a": DATA}, b"INFO")
    data = bytearray(run.path.read_bytes())
    damage(data)
    run.path.write_bytes(data)
    with pytest.raises(ArchiveError, match="run-damaged"):
        Run.open(run.path)


def test_a_run_that_shrank_or_went_since_it_was_opened(runs: list[Run], tmp_path: Path) -> None:
    os.truncate(runs[1].path, 60)
    with pytest.raises(ArchiveError, match="run-damaged"):
        compose(tmp_path / "x.zip", runs)
    runs[1].path.unlink()
    with pytest.raises(StorageError, match=r"two\.run"):
        compose(tmp_path / "x.zip", runs)
    with pytest.raises(StorageError, match=r"two\.run"):
        Run.open(runs[1].path)


def test_a_place_that_cannot_be_written_is_a_storage_error(runs: list[Run], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        compose(tmp_path / "none" / "x.zip", runs)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_storage_error_and_ends_the_thread(tmp_path: Path) -> None:
    run = made(tmp_path / "big.run", {"noise": os.urandom(5 << 20)})
    with pytest.raises(StorageError, match="No space left"):
        compose(Path("/dev/full"), [run])
    from threading import enumerate as threads

    assert not [thread for thread in threads() if thread.name == "layerkit-sha256"]


def test_more_entries_than_16_bits_count(tmp_path: Path) -> None:
    counts = (40_000, 25_535, 1)
    runs = [
        made(tmp_path / f"{i}.run", {f"p{i}/{n:05}": b"" for n in range(count)})
        for i, count in enumerate(counts)
    ]
    assert compose(tmp_path / "full.zip", runs[:2]).entries == MAX16
    assert b"PK\x06\x06" not in (tmp_path / "full.zip").read_bytes()
    assert compose(tmp_path / "over.zip", runs).entries == MAX16 + 1
    assert b"PK\x06\x06" in (tmp_path / "over.zip").read_bytes()[-98:]
    for name, count in (("full.zip", MAX16), ("over.zip", MAX16 + 1)):
        with Archive.open(tmp_path / name) as archive, zipfile.ZipFile(tmp_path / name) as other:
            assert len(archive.members) == count == len(other.infolist())


def test_offsets_beyond_32_bits(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 4 GiB are slow to write: the limit is moved instead, between the two runs.
    monkeypatch.setattr("layerkit.archive.zips.WIDE", runs[0].zipped)
    compose(tmp_path / "wide.zip", runs)
    assert (tmp_path / "wide.zip").read_bytes().count(pack("<2HQ", 1, 8, runs[0].zipped)) == 1
    assert content(tmp_path / "wide.zip") == oracle(tmp_path / "wide.zip")
    assert len(content(tmp_path / "wide.zip")) == 5


@pytest.mark.parametrize("program", ["unzip -tq", "zipinfo", f"{sys.executable} -m zipfile -t", "bsdtar -tf"])
def test_other_programs_read_it(program: str, runs: list[Run], tmp_path: Path) -> None:
    command = program.split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    compose(tmp_path / "layer.zip", runs)
    done = subprocess.run(
        [*command, "layer.zip"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr


# Properties

_COMPONENT = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\"), min_size=1, max_size=9
)
_PATHS = st.lists(_COMPONENT, min_size=1, max_size=4).map("/".join)
_FILES = st.dictionaries(
    _PATHS, st.binary(max_size=300) | st.binary(max_size=9).map(lambda b: b * 99), max_size=12
)
_QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def split(files: dict[str, bytes], parts: int) -> Iterator[dict[str, bytes]]:
    names = sorted(files)
    for part in range(parts):
        yield {name: files[name] for name in names[part::parts]}


@_QUIET
@given(files=_FILES, parts=st.integers(1, 3), level=st.integers(0, 9))
def test_what_goes_in_comes_out(files: dict[str, bytes], parts: int, level: int, tmp_path: Path) -> None:
    source = io.BytesIO()
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    path = laid(tmp_path, source.getvalue())
    out = tmp_path / "out.zip"
    try:
        with Archive.open(path) as opened:
            members = {member.name: member for member in opened.members}
            runs = []
            for index, part in enumerate(split(files, parts)):
                write_run(tmp_path / f"{index}.run", [Piece.copy(opened, members[n]) for n in part], b"")
                runs.append(Run.open(tmp_path / f"{index}.run"))
    except ArchiveError as error:
        cases = {problem.case for problem in error.problems}
        assert cases <= {
            "name-folds-equal",
            "file-and-folder",
            "name-trailing",
            "name-drive",
            "name-parent",
            "name-not-plain",
        }
        return
    done: Composed = compose(out, runs)
    assert content(out) == files == oracle(out)
    assert done.unzipped == sum(map(len, files.values()))


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
