"""What was made for another Python or platform, by its wheel's tags and the names of its modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from elves import ARM64, loadable
from layerkit.check import check_zips
from layerkit.target import target
from zips import SITE, zipped

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.check.findings import Finding


def found(
    folder: Path, files: dict[str, bytes], runtime: str = "py312", arch: str = "x86_64"
) -> list[Finding]:
    return [*check_zips([zipped(folder / "one.zip", files)], target(runtime, arch), []).findings]


def wheel(*tags: str) -> dict[str, bytes]:
    lines = ["Wheel-Version: 1.0", *(f"Tag: {tag}" for tag in tags), ""]
    return {f"{SITE}/demo-1.0.dist-info/WHEEL": "\n".join(lines).encode()}


@pytest.mark.parametrize(
    "tags",
    [
        ("py3-none-any",),
        ("py2-none-any", "py3-none-any"),
        ("cp312-cp312-manylinux_2_34_x86_64",),
        ("cp38-abi3-manylinux2014_x86_64",),
        ("cp312-cp312-linux_x86_64",),
        ("cp312-cp312-musllinux_1_2_x86_64.manylinux_2_17_x86_64",),
        ("???",),
        (),
    ],
)
def test_tags_that_fit_or_say_nothing(tmp_path: Path, tags: tuple[str, ...]) -> None:
    assert found(tmp_path, wheel(*tags)) == []


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_35_x86_64",
        "cp312-cp312-manylinux_2_17_aarch64",
        "cp312-cp312-macosx_11_0_arm64",
        "cp312-cp312-win_amd64",
        "cp312-cp312-musllinux_1_2_x86_64",
        "cp313-abi3-manylinux_2_17_x86_64",
        "py2-none-any",
    ],
)
def test_tags_that_do_not_fit(tmp_path: Path, tag: str) -> None:
    (one,) = found(tmp_path, wheel(tag))
    assert (one.code, one.severity) == ("wheel-tags", "error")
    assert one.where == f"one.zip: {SITE}/demo-1.0.dist-info/WHEEL"
    assert one.text == f"demo 1.0 is of a wheel for {tag}, which python3.12-x86_64 does not take"


@pytest.mark.parametrize(
    ("runtime", "arch", "name"),
    [
        ("py312", "x86_64", "m.cpython-312-x86_64-linux-gnu.so"),
        ("py312", "arm64", "m.cpython-312-aarch64-linux-gnu.so"),
        ("py37", "x86_64", "m.cpython-37m-x86_64-linux-gnu.so"),
        ("py312", "x86_64", "m.abi3.so"),
        ("py312", "x86_64", "m.so"),
        ("py312", "x86_64", "libother-1.2.so.3"),
    ],
)
def test_names_that_are_imported(tmp_path: Path, runtime: str, arch: str, name: str) -> None:
    made = loadable(machine=ARM64 if arch == "arm64" else 62)
    assert found(tmp_path, {f"python/{name}": made}, runtime, arch) == []


@pytest.mark.parametrize(
    "name",
    [
        "m.cpython-311-x86_64-linux-gnu.so",
        "m.cpython-312-x86_64-linux-musl.so",
        "m.cpython-312-aarch64-linux-gnu.so",
        "m.cpython-312-darwin.so",
        "m.cp312-win_amd64.pyd",
        "m.pypy310-pp73-x86_64-linux-gnu.so",
    ],
)
def test_names_that_are_not(tmp_path: Path, name: str) -> None:
    (one,) = found(tmp_path, {f"python/p/{name}": loadable()})
    assert (one.code, one.severity) == ("extension-suffix", "error")
    assert f"python/p/{name}" in one.text


def test_module_that_comes_for_several_pythons_is_fine(tmp_path: Path) -> None:
    tags = ("cpython-311-x86_64-linux-gnu", "cpython-312-x86_64-linux-gnu")
    assert found(tmp_path, {f"python/p/m.{tag}.so": loadable() for tag in tags}) == []
