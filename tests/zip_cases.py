"""The verdicts on forged zips: what is refused and why, what is accepted, what only reading shows."""

from __future__ import annotations

import os
import zipfile
import zlib
from struct import pack
from typing import TYPE_CHECKING

from forge import DESCRIPTOR, MAX16, MAX32, UTF8, deflate, descriptor, entry, forge, late, unicode_path, zip64
from layerkit.archive import Archive

if TYPE_CHECKING:
    from pathlib import Path

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
    "trailing dot of a folder with a file": (
        forge(entry("a./", b"", method=0), entry("a./b")),
        {"name-trailing"},
    ),
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
    "version 25.5": (forge(entry("a", central={"needed": 255})), {"version-unsupported"}),
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
    "empty folder that ends in a dot": (forge(entry("p./", b"", method=0), entry("p/a")), {"p/a": DATA}),
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
