"""A build made twice: the same bytes, or the name of what differs."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

import small
from factory import make_wheel
from layerkit.built import Built
from layerkit.cli import run
from layerkit.engines import Use
from layerkit.verify import _difference, _differences

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

_PROJECT = """
[project]
name = "twice"
version = "1.0"
dependencies = ["six"]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
"""


@pytest.fixture
def project(index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "six", files={"six.py": "x = 1\n" * 50, "more/data.bin": bytes(range(256))})
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PROJECT)
    assert index.names()
    return folder


def test_a_build_is_verified_whether_it_was_new_or_stood_already(
    project: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for _ in range(2):
        assert run(["build", str(project), "--verify"]) == 0
        assert "every file has the same bytes" in capsys.readouterr().err
    assert list(tmp_path.glob("layerkit-verify-*")) == []


def test_a_build_that_comes_out_otherwise_fails_with_the_member_that_differs(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["build", str(project), "--quiet"]) == 0
    from layerkit import recipe

    monkeypatch.setattr(recipe, "_INSTALLER", b"somebody else\n")
    assert run(["build", str(project), "--verify"]) == 6
    said = capsys.readouterr().err
    assert "built a second time it is not the same" in said
    assert "INSTALLER has other content (9 and 14 bytes)" in said


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"}, "b has other content"),
        ({"a": b"1"}, {"b": b"1"}, "a stands where b did"),
        ({"a": b"1"}, {"a": b"1", "b": b"2"}, "1 members, and 2 the second time"),
    ],
)
def test_the_first_member_that_differs_is_named(
    tmp_path: Path, first: dict[str, bytes], second: dict[str, bytes], words: str
) -> None:
    for name, members in (("1.zip", first), ("2.zip", second)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, content in members.items():
                archive.writestr(zipfile.ZipInfo(member), content)
    assert words in _difference(tmp_path / "1.zip", tmp_path / "2.zip")


def test_the_same_content_stored_otherwise_is_a_difference(tmp_path: Path) -> None:
    for name, method in (("1.zip", zipfile.ZIP_STORED), ("2.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a"), b"abc" * 99, compress_type=method)
    assert "stored otherwise" in _difference(tmp_path / "1.zip", tmp_path / "2.zip")


def test_a_manifest_that_says_something_else_is_a_difference(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["build", str(project), "--quiet"]) == 0
    from layerkit.layer import manifest

    monkeypatch.setattr(manifest.Manifest, "text", lambda _: "{}")
    assert run(["build", str(project), "--verify"]) == 6
    said = capsys.readouterr().err
    assert "py312-twice-1.0.json" in said
    assert "it has other bytes" in said


def test_another_number_of_zips_is_a_difference(tmp_path: Path) -> None:
    made = small.build(tmp_path / "here")
    use = Use(asked="auto", used="wheels", reason="nothing is built from source")
    built = Built(manifest=made.manifest, path=made.output / "m.json", unchanged=False, engine=use)
    without = replace(built, manifest=replace(made.manifest, layers=()))
    ((path, found),) = _differences(built, without)
    assert path == built.path
    code = f"{small.PREFIX}-api-code.zip"
    assert found.endswith(f"-web.zip, {code}, and {code} the second time")
