from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from layerkit.container.tarred import Entry, Stream, members, pack, unpack
from layerkit.errors import EngineError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def archive(*infos: tarfile.TarInfo) -> Iterator[bytes]:
    """Yield a tar of members that hold their own names, in chunks of an odd size."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as made:
        for info in infos:
            content = info.name.encode() if info.isfile() else b""
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    content = written.getvalue()
    for start in range(0, len(content), 777):
        yield content[start : start + 777]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_what_is_packed_is_what_tar_reads(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 5000)
    entries = [
        Entry(name="folder"),
        Entry(name="folder/a", content=b"x" * 512, user=7, group=8),
        Entry(name="n" * 200, content=b"", mode=0o755),
        Entry(name="large", path=large),
    ]
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(entries)))) as made:
        found = {info.name: info for info in made}
        assert made.extractfile("large").read() == large.read_bytes()  # type: ignore[union-attr]
    assert list(found) == ["folder", "folder/a", "n" * 200, "large"]
    assert found["folder"].isdir()
    assert found["folder"].mode == 0o755
    assert (found["folder/a"].uid, found["folder/a"].gid, found["folder/a"].size) == (7, 8, 512)
    assert found["n" * 200].mode == 0o755
    assert {info.mtime for info in found.values()} == {315_532_800}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        b"".join(pack([Entry(name="a", path=tmp_path / "nowhere")]))


def test_packing_holds_no_file_in_memory(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    assert max(map(len, pack([Entry(name="large", path=large)]))) <= 1 << 18


def test_files_come_out_where_they_belong(tmp_path: Path) -> None:
    found = unpack(
        members(archive(member("a", tarfile.DIRTYPE), member("a/b/c"), member("d"))), tmp_path, most=9
    )
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/b/c", "d"]
    assert (tmp_path / "a/b/c").read_bytes() == b"a/b/c"


@pytest.mark.parametrize("name", ["/etc/passwd", "../out", "a/../../out", "a/..", "..", "/"])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(EngineError, match="leads out of its folder"):
        unpack(members(archive(member("fine"), member(name))), inner, most=1000)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "fine"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="a link or a device"):
        unpack(members(archive(member("a", kind, "/etc/passwd"))), tmp_path, most=1000)
    assert not list(tmp_path.iterdir())


def test_symbolic_links_pass_where_the_caller_judges_them() -> None:
    (found,) = [info for info, _ in members(archive(member("a", tarfile.SYMTYPE, "b")), links=True)]
    assert (found.name, found.linkname) == ("a", "b")
    with pytest.raises(EngineError):
        list(members(archive(member("a", tarfile.LNKTYPE, "b")), links=True))


def test_more_than_is_allowed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="more than it may"):
        unpack(members(archive(member("abc"), member("def"))), tmp_path, most=5)


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(StorageError):
        unpack(members(archive(member("a"))), tmp_path, most=1000)
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.parametrize("content", [b"", b"x" * 1024, b"".join(archive(member("a")))[:700]])
def test_what_is_no_archive_is_an_error_of_ours(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="broken"):
        unpack(members([content]), tmp_path, most=1000)


@pytest.mark.parametrize(
    ("chunks", "size", "expected"),
    [
        ([b"abc", b"de"], 4, [b"abcd", b"e", b""]),
        ([b"abc", b"de"], -1, [b"abcde", b""]),
        ([], 3, [b""]),
        ([b"ab", b"cd"], 2, [b"ab", b"cd", b""]),
    ],
)
def test_chunks_are_read_as_a_file(chunks: list[bytes], size: int, expected: list[bytes]) -> None:
    stream = Stream(chunks)
    assert stream.readable()
    assert [stream.read(size) for _ in expected] == expected
    assert stream.read(0) == b""
