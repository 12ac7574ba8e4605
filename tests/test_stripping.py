"""Stripping libraries: what may be touched, and what is taken back."""

from __future__ import annotations

import os
import shutil
import struct
import sysconfig
from pathlib import Path

import pytest

from layerkit.errors import UsageError
from layerkit.stripping import loadable, strip_libraries

_SEGMENT = (1, 5, 0, 0, 0, 0x80, 0x80, 0x1000)  # loaded at 0 from offset 0


def elf(*segments: tuple[int, ...], tail: int = 64) -> bytes:
    """Return a library of program headers alone."""
    header = struct.pack("<4sBBBB8x", b"\x7fELF", 2, 1, 1, 0)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    table = b"".join(struct.pack("<IIQQQQQQ", *one) for one in segments)
    return (header + table).ljust(0x80, b"\0") + b"s" * tail


@pytest.fixture
def strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the script that stands for `strip`: it gets --strip-unneeded -o OUT IN."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "strip"
    script.write_text('#!/bin/sh\nhead -c 128 "$4" >"$3"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return script


def library(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("strip")
def test_a_library_gets_smaller_and_keeps_its_mode_and_row(tmp_path: Path) -> None:
    site = tmp_path / "layer" / "python"
    path = library(site, "a/b.cpython-312-x86_64-linux-gnu.so", elf(_SEGMENT))
    record = library(site, "a-1.0.dist-info/RECORD", f"{path.relative_to(site)},sha256=old,192\n".encode())
    assert strip_libraries(site) == ["stripped 1 libraries: 64 bytes less"]
    assert path.stat().st_size == 0x80
    assert path.stat().st_mode & 0o777 == 0o755
    assert record.read_text().endswith(",128\n")
    assert "old" not in record.read_text()


@pytest.mark.usefixtures("strip")
def test_vendored_libraries_and_other_files_are_left_alone(tmp_path: Path) -> None:
    vendored = library(tmp_path / "layer", "a.libs/libb-1234.so.1", elf(_SEGMENT))
    script = library(tmp_path / "layer", "a/not.so", b"INPUT(-lm)")
    strip_libraries(tmp_path / "layer")
    assert vendored.read_bytes() == elf(_SEGMENT)
    assert script.read_bytes() == b"INPUT(-lm)"


def test_what_strip_spoils_is_taken_back(tmp_path: Path, strip: Path) -> None:
    moved = tmp_path / "moved"
    moved.write_bytes(elf((1, 5, 0x10, 0, 0, 0x70, 0x70, 0x1000)))
    strip.write_text(f'#!/bin/sh\ncp "{moved}" "$3"\n')
    path = library(tmp_path / "layer", "a.so", elf(_SEGMENT))
    said = strip_libraries(tmp_path / "layer")
    assert said[0] == f"left as it was, for strip would spoil it: {path}"
    assert path.read_bytes() == elf(_SEGMENT)
    assert [one.name for one in path.parent.iterdir()] == ["a.so"]


def test_what_strip_refuses_stays(tmp_path: Path, strip: Path) -> None:
    strip.write_text("#!/bin/sh\nexit 1\n")
    path = library(tmp_path / "layer", "a.so", elf(_SEGMENT))
    strip_libraries(tmp_path / "layer")
    assert path.read_bytes() == elf(_SEGMENT)


def test_without_strip_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="binutils"):
        strip_libraries(tmp_path)


@pytest.mark.parametrize(
    "segments",
    [
        [
            (1, 5, 0x10, 0, 0, 1, 1, 0x1000)
        ],  # not congruent: "ELF load command address/offset not page-aligned"
        [(1, 5, 0, 0, 0, 0x10000, 0x10000, 0x1000)],  # beyond the file's end
        [(2, 6, 0, 0, 0, 1, 1, 8)],  # nothing to load
    ],
)
def test_a_library_that_no_loader_maps_is_known(segments: list[tuple[int, ...]]) -> None:
    assert loadable(elf(*segments)) is None
    assert loadable(elf(_SEGMENT)) == ((0, 0x80, 5, 0x1000),)


def test_cut_short_headers_are_no_library() -> None:
    assert loadable(elf(_SEGMENT)[:70]) is None
    assert loadable(b"\x7fELF") is None


@pytest.mark.skipif(shutil.which("strip") is None, reason="there is no strip here")
def test_the_real_strip_leaves_a_real_library_loadable(tmp_path: Path) -> None:
    extensions = Path(sysconfig.get_path("platlib")).rglob("*.so")
    path = library(tmp_path / "layer", "real.so", next(extensions).read_bytes())
    before = path.read_bytes()
    strip_libraries(tmp_path / "layer")
    assert loadable(path.read_bytes()) == loadable(before) is not None
