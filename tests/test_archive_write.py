from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge import MAX16, deflate, entry, forge, late
from layerkit.archive import (
    Archive,
    ArchiveError,
    DamagedRunError,
    Piece,
    Run,
    compose,
    write_run,
    write_zip,
)
from layerkit.archive.pieces import compressed
from layerkit.errors import StorageError
from zip_cases import DATA, NOISE, content, laid, oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerkit.archive import Composed


def test_composing_does_not_pay_for_the_reader() -> None:
    code = "import sys, layerkit.archive; sys.exit('layerkit.archive.reader' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


def test_what_is_compressed_anew_has_the_bytes_that_it_always_had() -> None:
    # Fails where the compressor changed: then a layer of today is not the layer of yesterday, and
    # prepare.RECIPE has to say so.
    text = "".join(f"{n} {n * n}\n" for n in range(5000)).encode()
    method, stream = compressed(text)
    assert zlib.decompress(stream, -15) == text
    assert method == zipfile.ZIP_DEFLATED
    assert (
        hashlib.sha256(stream).hexdigest()
        == "fc48520493b7fa4650edb774903d3489e6632a0e35c815e5f5cfdaa204a47234"
    )


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


@pytest.mark.parametrize("skip", [{}, {1: frozenset({"other/b.py"})}])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_run_that_rotted_reaches_no_zip(
    runs: list[Run], skip: dict[int, frozenset[str]], place: str, tmp_path: Path
) -> None:
    assert compose(tmp_path / "whole.zip", runs, skip=skip).entries
    data = bytearray(runs[1].path.read_bytes())
    data[0 if place == "first" else runs[1].zipped - 1] ^= 1
    runs[1].path.write_bytes(data)
    with pytest.raises(DamagedRunError, match="run-damaged") as caught:
        compose(tmp_path / "x.zip", [Run.open(run.path) for run in runs], skip=skip)
    assert caught.value.path == runs[1].path


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


@pytest.mark.parametrize(
    "command", [["unzip", "-tq"], ["zipinfo"], [sys.executable, "-m", "zipfile", "-t"], ["bsdtar", "-tf"]]
)
def test_other_programs_read_it(command: list[str], runs: list[Run], tmp_path: Path) -> None:
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
