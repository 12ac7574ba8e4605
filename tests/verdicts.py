"""What becomes of every odd archive there is: case -> verdict -> message, each forged here.

The first column says in words what is wrong, the second makes a wheel that is wrong in that way and no
other, the last is all that is said of it: nothing where it is accepted and put right.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory import digest, make_wheel
from forge import MAX32, entry, forge, late, zip64
from zip_cases import DATA, PACKED
from zip_cases import REFUSED as ZIPS

if TYPE_CHECKING:
    from factory import Row

Made = Callable[[Path], tuple[Path, str]]
MODULE = "demo/__init__.py"
NAME = "demo-1.0-py3-none-any.whl"


def zip_case(case: str) -> Made:
    """Return how to forge an archive of zip_cases."""
    data = ZIPS[case][0]

    def made(folder: Path) -> tuple[Path, str]:
        path = folder / NAME
        path.write_bytes(data)
        return path, NAME

    return made


def wheel(**wrong: Any) -> Made:
    """Return how to forge a wheel of the factory."""

    def made(folder: Path) -> tuple[Path, str]:
        built = make_wheel(folder, **wrong)
        return built.path, built.filename

    return made


def forged(tail: bytes = b"", **changes: Any) -> Made:
    """Return how to forge a whole wheel whose only module is stored as `changes` say."""
    info = "demo-1.0.dist-info"
    about = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [(name, digest(data), str(len(data))) for name, data in {MODULE: DATA, **about}.items()]
    record = "".join(f"{','.join(one)}\n" for one in (*rows, (f"{info}/RECORD", "", ""))).encode()
    module = changes.pop("module", None) or entry(MODULE, DATA, **changes)
    others = [entry(name, data) for name, data in {**about, f"{info}/RECORD": record}.items()]

    def made(folder: Path) -> tuple[Path, str]:
        path = folder / NAME
        path.write_bytes(forge(module, *others, suffix=tail))
        return path, NAME

    return made


def row(change: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    """Return an edit of the first row of RECORD."""
    return lambda rows: [change(rows[0]), *rows[1:]]


_CONSOLE = "console_scripts"
REFUSED, ACCEPTED = "refused", "accepted"

# In the order of the list of cases that must be refused, and then of those that must not.
VERDICTS: dict[str, tuple[Made, str, str]] = {
    "the same name twice, same bytes": (
        zip_case("same name, same bytes"),
        REFUSED,
        "a: is there more than once [name-twice]",
    ),
    "the same name twice, other bytes": (
        zip_case("same name, other bytes"),
        REFUSED,
        "a: is there more than once [name-twice]",
    ),
    "equal after casefold": (
        zip_case("equal after casefold"),
        REFUSED,
        "pkg/A.py: is one path with Pkg/a.py where case or Unicode form is ignored [name-folds-equal]",
    ),
    "equal after normalisation": (
        zip_case("equal after normalisation"),
        REFUSED,
        "café: is one path with café where case or Unicode form is ignored [name-folds-equal]",
    ),
    "parent": (zip_case("parent"), REFUSED, "../a: leads out of its folder by `..` [name-parent]"),
    "absolute": (zip_case("absolute"), REFUSED, "/etc/passwd: has an absolute path [name-absolute]"),
    "drive": (zip_case("drive"), REFUSED, "C:/a: begins with a drive letter [name-drive]"),
    "backslash": (zip_case("backslash"), REFUSED, "a\\b: has a backslash in its name [name-backslash]"),
    "./": (zip_case("dot"), REFUSED, "./a: has an empty or `.` component in its path [name-not-plain]"),
    "a/../b": (zip_case("parent within"), REFUSED, "a/../b: leads out of its folder by `..` [name-parent]"),
    "NUL": (zip_case("NUL"), REFUSED, "a.py\x00.txt: has a control character in its name [name-control]"),
    "control characters": (
        zip_case("escape"),
        REFUSED,
        "\x1b[31ma: has a control character in its name [name-control]",
    ),
    "empty name": (zip_case("empty name"), REFUSED, ": has an empty name [name-empty]"),
    "component over 255 bytes": (
        zip_case("component of 256 bytes in UTF-8"),
        REFUSED,
        "é" * 128 + ": is above 1024 bytes, or a component above 255 [name-too-long]",
    ),
    "trailing dot": (
        zip_case("trailing dot"),
        REFUSED,
        "a./b: has a component that ends in a dot or a space [name-trailing]",
    ),
    "trailing space": (
        zip_case("trailing space"),
        REFUSED,
        "a/b : has a component that ends in a dot or a space [name-trailing]",
    ),
    "invalid UTF-8": (
        zip_case("invalid UTF-8"),
        REFUSED,
        "\\xff\\xfe: has a name that is not UTF-8, though it says so [name-not-utf8]",
    ),
    "non-ASCII without the flag": (
        zip_case("non-ASCII without the flag"),
        REFUSED,
        "café: has a name beyond ASCII that is not marked UTF-8 [name-without-utf8-flag]",
    ),
    "Unicode path that renames": (
        zip_case("Unicode path renames, central"),
        REFUSED,
        "a.py: has an extra field that gives it another name [unicode-path-renames]",
    ),
    "headers differ in name": (
        zip_case("other name"),
        REFUSED,
        "a.py: has a local header that differs from the central directory: name [headers-differ]",
    ),
    "headers differ in method": (
        zip_case("other method"),
        REFUSED,
        "a: has a local header that differs from the central directory: method [headers-differ]",
    ),
    "headers differ in size": (
        zip_case("other size"),
        REFUSED,
        "a: has a local header that differs from the central directory: size [headers-differ]",
    ),
    "headers differ in CRC": (
        zip_case("other CRC"),
        REFUSED,
        "a: has a local header that differs from the central directory: CRC [headers-differ]",
    ),
    "wrong CRC": (
        forged(local={"crc": 1}, central={"crc": 1}),
        REFUSED,
        "demo/__init__.py: has content that does not match its CRC [content-crc]",
    ),
    "descriptor with wrong values": (
        zip_case("descriptor with wrong CRC"),
        REFUSED,
        "a: has a data descriptor that is not true [descriptor-wrong]",
    ),
    "entry that is not listed": (
        zip_case("entry unlisted in the middle"),
        REFUSED,
        "hides an entry at byte 44 that its central directory does not list [entry-unlisted]",
    ),
    "bytes before": (
        zip_case("bytes before, offsets adjusted"),
        REFUSED,
        "has 10 bytes at byte 0 that belong to no entry [bytes-before]",
    ),
    "bytes after the end record": (
        zip_case("bytes behind"),
        REFUSED,
        "has bytes behind its end record [bytes-behind]",
    ),
    "archive in the comment": (
        zip_case("archive in the comment"),
        REFUSED,
        "hides an archive in its comment [archive-in-comment]",
    ),
    "wrong entry count": (
        zip_case("too few entries"),
        REFUSED,
        "does not have the 3 entries that its end record says [entry-count]",
    ),
    "ZIP64 extensible data": (
        zip_case("ZIP64 extensible data"),
        REFUSED,
        "has a ZIP64 end record with extensible data [zip64-extensible-data]",
    ),
    "overlapping entries": (
        zip_case("reaches into its neighbour"),
        REFUSED,
        "b: overlaps the entry before it [overlap]",
    ),
    "encrypted": (zip_case("encrypted"), REFUSED, "a: is encrypted [encrypted]"),
    "method bzip2": (
        zip_case("bzip2"),
        REFUSED,
        "a: is packed by method 12, not stored or deflated [method-unsupported]",
    ),
    "method deflate64": (
        zip_case("deflate64"),
        REFUSED,
        "a: is packed by method 9, not stored or deflated [method-unsupported]",
    ),
    "stream ends early": (
        forged(stream=PACKED[:-1]),
        REFUSED,
        "demo/__init__.py: holds a stream that breaks off [deflate-unfinished]",
    ),
    "stream is empty": (
        forged(stream=b"", local={"size": 0}, central={"size": 0}),
        REFUSED,
        "demo/__init__.py: has 0 bytes, and RECORD says 64 [record-size]",
    ),
    "bytes behind the stream": (
        forged(stream=PACKED + b"\0"),
        REFUSED,
        "demo/__init__.py: has bytes behind the end of its stream [deflate-bytes-behind]",
    ),
    "a second stream": (
        forged(stream=PACKED * 2),
        REFUSED,
        "demo/__init__.py: has bytes behind the end of its stream [deflate-bytes-behind]",
    ),
    "no deflate stream": (
        forged(stream=b"\x07" * 9),
        REFUSED,
        "demo/__init__.py: holds a damaged stream [deflate-damaged]",
    ),
    "symlink": (zip_case("symlink"), REFUSED, "a: is a symbolic link [symlink]"),
    "file and directory": (
        zip_case("file and folder entry"),
        REFUSED,
        "a/: is a file and a folder at once [file-and-folder]",
    ),
    "directory with data": (
        zip_case("folder with data"),
        REFUSED,
        "a/: is a folder with content [folder-with-data]",
    ),
    "expansion beyond a cap": (
        zip_case("impossible ratio"),
        REFUSED,
        "a: says that 13 bytes unpack to 1048576, which deflate cannot [ratio-impossible]",
    ),
    "truncated": (
        zip_case("truncated in the members"),
        REFUSED,
        "is truncated: its end is missing [file-truncated]",
    ),
    "empty": (zip_case("empty file"), REFUSED, "is empty [file-empty]"),
    "HTML page": (zip_case("html page"), REFUSED, "is an HTML or XML page, not an archive [file-html]"),
    "RECORD row without file": (
        wheel(record=lambda rows: [*rows, ("gone.py", digest(b""), "0")]),
        REFUSED,
        "gone.py: is listed in RECORD, and there is no such file [record-extra]",
    ),
    "file without RECORD row": (
        wheel(unrecorded={"demo/more.py": "x = 1\n"}),
        REFUSED,
        "demo/more.py: has no row in RECORD [record-missing]",
    ),
    "RECORD.jws without a row": (
        wheel(unrecorded={"demo-1.0.dist-info/RECORD.jws": "{}"}),
        ACCEPTED,
        "left out: installer-records",
    ),
    "RECORD.p7s without a row": (
        wheel(unrecorded={"demo-1.0.dist-info/RECORD.p7s": "{}"}),
        ACCEPTED,
        "left out: installer-records",
    ),
    "wrong hash": (
        wheel(record=row(lambda one: (one[0], digest(b"other"), one[2]))),
        REFUSED,
        (
            "demo/__init__.py: has the sha256 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU, "
            "and RECORD says 2SmKENGwc1g33EvYXaxkGw887yekfl1TpU8vP1svz_o [record-hash]"
        ),
    ),
    "missing hash": (
        wheel(record=row(lambda one: (one[0], "", one[2]))),
        REFUSED,
        "demo/__init__.py: has no hash in RECORD [record-no-hash]",
    ),
    "md5": (
        wheel(record=row(lambda one: (one[0], digest(b"", "md5"), one[2]))),
        REFUSED,
        "demo/__init__.py: has only a md5 in RECORD, where sha256 or better is needed [record-weak-hash]",
    ),
    "sha1": (
        wheel(record=row(lambda one: (one[0], digest(b"", "sha1"), one[2]))),
        REFUSED,
        "demo/__init__.py: has only a sha1 in RECORD, where sha256 or better is needed [record-weak-hash]",
    ),
    "wrong size": (
        wheel(record=row(lambda one: (one[0], one[1], "77"))),
        REFUSED,
        "demo/__init__.py: has 0 bytes, and RECORD says 77 [record-size]",
    ),
    "no RECORD": (wheel(without=["RECORD"]), REFUSED, "has no demo-1.0.dist-info/RECORD [no-record]"),
    "no WHEEL": (wheel(without=["WHEEL"]), REFUSED, "has no demo-1.0.dist-info/WHEEL [no-wheel]"),
    "two dist-info": (
        wheel(files={"demo/__init__.py": "", "other-2.0.dist-info/METADATA": "Name: other\n"}),
        REFUSED,
        "has more than one .dist-info folder: demo-1.0.dist-info, other-2.0.dist-info [two-dist-infos]",
    ),
    "METADATA name unlike the file name": (
        wheel(metadata={"Name": "other"}),
        REFUSED,
        "demo-1.0.dist-info/METADATA: says the name 'other', the file name 'demo' [metadata-name]",
    ),
    "METADATA version unlike the file name": (
        wheel(metadata={"Version": "2.0"}),
        REFUSED,
        "demo-1.0.dist-info/METADATA: says the version '2.0', the file name '1.0' [metadata-version]",
    ),
    "WHEEL tags unlike the file name": (
        wheel(wheel={"Tag": "cp312-cp312-win_amd64"}),
        REFUSED,
        (
            "demo-1.0.dist-info/WHEEL: says the tags cp312-cp312-win_amd64, "
            "the file name py3-none-any [wheel-tags]"
        ),
    ),
    "Wheel-Version 2": (
        wheel(wheel={"Wheel-Version": "2.0"}),
        REFUSED,
        "demo-1.0.dist-info/WHEEL: says Wheel-Version '2.0', and only 1.x is known [wheel-version]",
    ),
    ".data/<unknown>": (
        wheel(data={"elsewhere/x": ""}),
        REFUSED,
        "demo-1.0.data/elsewhere/x: lies in demo-1.0.data/elsewhere, which no installer knows [data-unknown]",
    ),
    ".data file landing on another": (
        wheel(data={"purelib/demo/__init__.py": ""}),
        REFUSED,
        "demo-1.0.data/purelib/demo/__init__.py: lands where demo/__init__.py lands [data-collision]",
    ),
    "entry point with a path": (
        wheel(entry_points={_CONSOLE: {"../../bin/sh": "demo:main"}}),
        REFUSED,
        (
            "demo-1.0.dist-info/entry_points.txt: names a command '../../bin/sh', "
            "which no file in bin can be called [entry-point-path]"
        ),
    ),
    "valid data descriptor": (forged(module=late(MODULE, DATA)), ACCEPTED, ""),
    "honest ZIP64": (
        forged(local={"size": MAX32, "packed": MAX32, "extra": zip64(64, len(PACKED))}),
        ACCEPTED,
        "",
    ),
    "odd modes": (forged(mode=0o100602), ACCEPTED, ""),
    "set-user-id": (forged(mode=0o104755), ACCEPTED, ""),
    "a date before 1980": (forged(local={"date": 0}, central={"date": 0}), ACCEPTED, ""),
    "trailing NULs": (forged(tail=bytes(99)), ACCEPTED, "99 NUL bytes behind its end were dropped"),
    "shipped __pycache__": (
        wheel(files={"demo/__init__.py": "", "demo/__pycache__/__init__.cpython-312.pyc": "x"}),
        ACCEPTED,
        "left out: shipped-bytecode",
    ),
    "a top-level .pth": (
        wheel(files={"demo.py": "", "demo.pth": "import demo\n"}),
        ACCEPTED,
        "demo.pth runs at every start of the function",
    ),
}
