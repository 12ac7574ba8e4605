from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from layerkit.container.sdist import BuildSystem, build_system
from layerkit.errors import WheelError

if TYPE_CHECKING:
    from pathlib import Path

FLIT = '[build-system]\nrequires = ["flit_core>=3"]\nbuild-backend = "backend.mine"\nbackend-path = ["."]\n'


def tar(path: Path, files: dict[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_the_backend_is_read_from_tars(mode: str, tmp_path: Path) -> None:
    path = tar(
        tmp_path / "a", {"a-1/PKG-INFO": "", "a-1/sub/pyproject.toml": "x", "a-1/pyproject.toml": FLIT}, mode
    )
    expected = BuildSystem(requires=("flit_core>=3",), backend="backend.mine", path=(".",))
    assert build_system(path, "a-1.tar.gz") == expected


def test_the_backend_is_read_from_zips(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("a-1/pyproject.toml", FLIT)
    assert build_system(tmp_path / "a", "a-1.zip").requires == ("flit_core>=3",)


@pytest.mark.parametrize(
    "files", [{"a-1/setup.py": ""}, {"pyproject.toml": FLIT}, {"a-1/pyproject.toml": "[project]"}]
)
def test_without_a_backend_it_is_setuptools(files: dict[str, str], tmp_path: Path) -> None:
    found = build_system(tar(tmp_path / "a", files), "a-1.tar.gz")
    assert found.backend == "setuptools.build_meta:__legacy__"
    assert found.requires == ("setuptools>=40.8.0",)


@pytest.mark.parametrize(
    "text",
    [
        "[build-system]\nrequires = 'setuptools'",
        "[build-system]\nrequires = [1]",
        "[build-system]\nrequires = []\nbuild-backend = 1",
        "[build-system]\nrequires = []\nbackend-path = 1",
        "build-system = 1",
        "not toml",
        "\x00\x80",
    ],
)
def test_a_pyproject_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="source archive cannot be read"):
        build_system(tar(tmp_path / "a", {"a-1/pyproject.toml": text}), "a-1.tar.gz")


@pytest.mark.parametrize("content", [b"", b"x" * 2000, b"\x1f\x8b\x08broken"])
@pytest.mark.parametrize("name", ["a-1.tar.gz", "a-1.zip"])
def test_what_is_no_archive_is_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(WheelError, match="source archive cannot be read"):
        build_system(tmp_path / "a", name)


def test_a_file_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    path = tar(tmp_path / "a", {"a-1/pyproject.toml": FLIT + "#" * (2 << 20)})
    assert build_system(path, "a-1.tar.gz") == BuildSystem()
