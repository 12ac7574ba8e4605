from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from layerkit.archive import Archive, write_zip
from layerkit.archive.spool import Spool
from layerkit.container import opt
from layerkit.errors import BuildError, EngineError
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path

ON = target("py312")
ELF = {
    "x86_64": b"\x7fELF" + bytes(14) + b"\x3e\0" + bytes(40),
    "arm64": b"\x7fELF" + bytes(14) + b"\xb7\0" + bytes(40),
}


def member(name: str, content: bytes | None = b"content", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member: a file, or what `type` says."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    info.size = len(content or b"") if more.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, content or b""


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, None, type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, None, type=kind, linkname=to)


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def read(archive: bytes, tmp_path: Path, runtime: str = "py312", arch: str = "x86_64") -> dict[str, Any]:
    """Read an archive, write it as a zip, and return what is in that, with what else came of it."""
    chunks = (archive[at : at + 700] for at in range(0, len(archive), 700))
    with Spool(tmp_path) as spool:
        found = opt.read(chunks, spool, target(runtime, arch), "docker/x.Dockerfile")
        write_zip(tmp_path / "opt.zip", found.pieces)
    with Archive.open(tmp_path / "opt.zip") as zipped:
        files = {one.name: (archive_read(zipped, one), one.executable) for one in zipped.members}
    return {
        "files": files,
        "metadata": found.metadata,
        "notes": found.notes,
        "zip": (tmp_path / "opt.zip").read_bytes(),
    }


def archive_read(zipped: Archive, one: Any) -> bytes:
    return zipped.read(one)


def refused(archive: bytes, tmp_path: Path, **more: str) -> str:
    with pytest.raises(BuildError) as caught:
        read(archive, tmp_path, **more)
    assert caught.value.where == "docker/x.Dockerfile"
    return caught.value.what


def test_files_and_their_right_to_run_come_through(tmp_path: Path) -> None:
    found = read(
        tar(
            folder("opt"), folder("opt/bin"), member("opt/bin/tool", ELF["x86_64"], mode=0o750),
            member("opt/lib/big", b"x" * 3_000_000), member("opt/empty", b"", mode=0o600),
            folder("opt/nothing"),
        ),
        tmp_path,
    )  # fmt: skip
    assert found["files"] == {
        "bin/tool": (ELF["x86_64"], True),
        "empty": (b"", False),
        "lib/big": (b"x" * 3_000_000, False),
    }
    assert found["notes"] == []


def test_dates_owners_order_and_modes_change_nothing(tmp_path: Path) -> None:
    names = [f"opt/share/{number}" for number in range(20)]
    made = [member(name, name.encode() * 300, mode=0o755 if name[-1] == "3" else 0o644) for name in names]
    first = read(tar(folder("opt"), *made, link("opt/l", "share/1")), tmp_path)
    for info, _ in made:
        info.mtime, info.uid, info.gid, info.uname = 10**9, 1000, 50, "me"
        info.mode = 0o777 if info.mode & 0o100 else 0o400
    made.sort(key=lambda one: one[0].name[::-1], reverse=True)
    second = read(tar(link("opt/l", "/opt/share/1"), *made), tmp_path)
    assert first["zip"] == second["zip"]


def test_links_become_copies_and_that_is_said(tmp_path: Path) -> None:
    found = read(
        tar(
            folder("opt"), folder("opt/lib"), link("opt/lib/libx.so", "libx.so.1"),
            member("opt/lib/libx.so.1", b"library", mode=0o755), link("opt/lib64", "lib"),
            link("opt/hard", "opt/lib/libx.so.1", tarfile.LNKTYPE),
        ),
        tmp_path,
    )  # fmt: skip
    names = ["hard", "lib/libx.so", "lib/libx.so.1", "lib64/libx.so", "lib64/libx.so.1"]
    assert found["files"] == dict.fromkeys(names, (b"library", True))
    assert found["notes"] == ["a layer has no links: 4 files were copied for them, 28 bytes"]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("etc/passwd")], "/etc/passwd does not lie in /opt"),
        ([member("opt/../etc/passwd")], "/opt/../etc/passwd does not lie in /opt"),
        ([member("/opt/x")], "does not lie in /opt"),
        ([member("opt/a//b")], "does not lie in /opt"),
        ([member("opt/x", mode=0o4755)], "/opt/x runs as another user"),
        ([member("opt/x", mode=0o2755)], "/opt/x runs as another user"),
        ([member("opt/x", None, type=tarfile.CHRTYPE)], "/opt/x is a device"),
        ([member("opt/x", None, type=tarfile.BLKTYPE)], "/opt/x is a device"),
        ([member("opt/x", None, type=tarfile.FIFOTYPE)], "/opt/x is a device, a pipe"),
        ([member("opt/x"), member("opt/x")], "/opt/x is there twice"),
        ([member("opt/x"), member("opt/X")], "/opt/x"),
        ([member("opt/x"), member("opt/x/y")], "/opt/x is a folder and something else"),
        ([member("opt/a\x1b[2J")], "/opt/a\\x1b[2J"),
        ([member("opt/a\\b")], "/opt/a\\b"),
        ([link("opt/x", "/etc/shadow")], "/opt/x leads out of /opt"),
        ([link("opt", "/etc")], "/opt"),
        ([link("opt/x", "etc/shadow", tarfile.LNKTYPE)], "/opt/x is a hard link to etc/shadow"),
        ([link("opt/x", "opt/y", tarfile.LNKTYPE)], "which is no file in /opt"),
        ([member("opt/x", ELF["arm64"])], "/opt/x is for aarch64, the target is x86_64"),
        ([member("opt/x", b"\x7fELF" + bytes(40))], "/opt/x is for another machine"),
        ([folder("opt"), folder("opt/empty")], "leaves no file in /opt"),
        ([], "leaves no file in /opt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "tar",
)  # fmt: skip
def test_what_no_layer_can_hold_is_refused(
    members: list[tuple[tarfile.TarInfo, bytes]], said: str, tmp_path: Path
) -> None:
    text = refused(tar(*members), tmp_path)
    assert said in text
    assert "\x1b" not in text


def test_all_faults_are_told_up_to_ten(tmp_path: Path) -> None:
    text = refused(tar(*(member(f"opt/{n:02}", mode=0o4755) for n in range(13))), tmp_path)
    assert text.count("runs as another user") == 10
    assert text.endswith("and 3 more")


def test_binaries_are_for_the_target(tmp_path: Path) -> None:
    assert read(tar(member("opt/x", ELF["arm64"])), tmp_path, arch="arm64")["files"]
    assert "is for x86_64, the target is aarch64" in refused(
        tar(member("opt/x", ELF["x86_64"])), tmp_path, arch="arm64"
    )


def test_bytecode_that_goes_by_dates_stays_out(tmp_path: Path) -> None:
    dated, hashed = b"\xcb\r\r\n" + bytes(12) + b"code", b"\xcb\r\r\n\1\0\0\0" + bytes(8) + b"code"
    found = read(
        tar(
            member("opt/python/a.py"), member("opt/python/__pycache__/a.cpython-312.pyc", dated),
            member("opt/python/__pycache__/b.cpython-312.pyc", hashed),
        ),
        tmp_path,
    )  # fmt: skip
    assert sorted(found["files"]) == ["python/__pycache__/b.cpython-312.pyc", "python/a.py"]
    assert found["notes"] == ["1 files of bytecode are left out: their dates are not kept"]


def test_metadata_of_packages_is_kept_in_mind(tmp_path: Path) -> None:
    site = "opt/python/lib/python3.12/site-packages"
    found = read(
        tar(
            member("opt/python/a-1.dist-info/METADATA", b"Name: a\n" * 10),
            member(f"{site}/b-1.dist-info/METADATA", b"Name: b\n"),
            member("opt/share/c-1.dist-info/METADATA", b"Name: c\n"),
        ),
        tmp_path,
    )  # fmt: skip
    assert found["metadata"] == {
        "python/a-1.dist-info/METADATA": b"Name: a\n" * 10,
        f"{site[4:]}/b-1.dist-info/METADATA": b"Name: b\n",
    }
    assert found["files"]["python/a-1.dist-info/METADATA"][0] == b"Name: a\n" * 10


def test_too_much_is_refused_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opt, "_MOST_BYTES", 10_000)
    copies = [link(f"opt/{number}", "x") for number in range(10)]
    assert "more than 10,000 bytes" in refused(tar(member("opt/x", b"a" * 10_001)), tmp_path)
    assert "more than 10,000 bytes" in refused(tar(member("opt/x", b"a" * 1_000), *copies), tmp_path)


@pytest.mark.parametrize("cut", [100, 512, 700, 1500])
def test_an_archive_that_breaks_off_is_the_engines_fault(cut: int, tmp_path: Path) -> None:
    whole = tar(member("opt/x", b"a" * 5000), member("opt/y"))
    with pytest.raises(EngineError, match="broken"):
        read(whole[:cut], tmp_path)
