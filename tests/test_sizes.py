"""What a build says of sizes: for people, and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from factory import make_wheel
from layerkit.cli import run
from layerkit.schemas import schema

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store
    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

_PYPROJECT = """
[project]
name = "demo"
version = "1"

[tool.layerkit]
runtimes = ["python3.12"]
sdk = "bundle"
bytecode = false
layers = {lib = ["lib"], sdk = ["boto3"]}
"""
_HEADER, _SUITE = "/* " + "x" * 2000 + " */", "# " + "y" * 5000
_FILES = {
    "lib/__init__.py": "",
    "lib/tests/test_a.py": _SUITE,
    "lib/a.h": _HEADER,
    "lib/data.bin": "z" * 3000,
}
_SERVICE = "botocore/data/%s/2020-01-01/service-2.json"


@pytest.fixture
def demo(store: Store, index: Loopback, wheels: Path, tmp_path: Path) -> Path:
    """Lay down a project with a package to slim, and the SDK with three services."""
    services = {_SERVICE % name: name * 1000 for name in ("s3", "sqs", "ec2")}
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0", files={"botocore/__init__.py": "", **services})
    make_wheel(wheels, "lib", files=_FILES)
    assert index.names()
    assert store.root.parent == tmp_path
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    return folder


def _build(demo: Path, capsys: Capture, more: str = "") -> dict[str, Any]:
    """Build with more lines in [tool.layerkit] and return what each package shows, by name."""
    (demo / "pyproject.toml").write_text(_PYPROJECT + more)
    assert run(["build", str(demo), "--json", "--explain-size"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("build")).validate(document)
    return {one["package"]: one for one in document["targets"][0]["sizes"]}


def test_each_rule_says_what_it_saved_of_each_package(demo: Path, capsys: Capture) -> None:
    lib = _build(demo, capsys)["lib"]
    assert lib["effects"] == [
        {"rule": "headers", "files": 1, "bytes": -len(_HEADER)},
        {"rule": "test-suites", "files": 1, "bytes": -len(_SUITE)},
    ]
    assert lib["before"] - lib["after"] == len(_HEADER) + len(_SUITE)
    (path,) = demo.glob("dist/layers/*/*.json")
    layers = json.loads(path.read_text())["layers"]
    (package,) = (one for layer in layers for one in layer["packages"] if one["name"] == "lib")
    assert (package["effects"], package["unzipped"]) == (lib["effects"], lib["after"])


def test_settings_change_what_is_left_out(demo: Path, capsys: Capture) -> None:
    def rules(more: str) -> set[str]:
        return {effect["rule"] for effect in _build(demo, capsys, more)["lib"]["effects"]}

    assert rules("") == {"headers", "test-suites"}
    assert rules("slim = false") == set()
    assert rules("slim.rows = {headers = false, big = ['*.bin']}") == {"big", "test-suites"}
    assert rules("slim.keep = {Lib = ['/lib/tests/']}") == {"headers"}


def test_the_sdk_is_cut_to_the_services_that_are_named(demo: Path, capsys: Capture) -> None:
    assert _build(demo, capsys)["botocore"]["effects"] == []
    cut = _build(demo, capsys, 'aws-services = ["sqs", "s3"]')["botocore"]
    assert cut["effects"] == [{"rule": "aws-services", "files": 1, "bytes": -3000}]
    assert _build(demo, capsys, 'slim = false\naws-services = ["s3"]')["botocore"]["effects"] == [
        {"rule": "aws-services", "files": 2, "bytes": -6000}
    ]


def test_a_service_that_botocore_does_not_know_is_an_error_of_the_project(
    demo: Path, capsys: Capture
) -> None:
    (demo / "pyproject.toml").write_text(_PYPROJECT + 'aws-services = ["sq"]')
    assert run(["build", str(demo)]) == 3
    said = capsys.readouterr().err
    assert "no service 'sq'" in said
    assert "did you mean 'sqs'" in said
    assert not (demo / "dist").exists()


def test_the_tables_are_talk_and_name_the_largest_first(demo: Path, capsys: Capture) -> None:
    assert run(["build", str(demo), "--explain-size"]) == 0
    said = capsys.readouterr()
    assert all(line.endswith(".zip") for line in said.out.splitlines())
    rows = [line for line in said.err.splitlines() if "│" in line]
    assert "test-suites -5.0 kB (1), headers -2.0 kB (1)" in rows[0]
    assert [row.split()[1] for row in rows if row.split()[1].startswith(("test-", "head"))] == [
        "test-suites",
        "headers",
    ]
    assert any("read by compilers" in row for row in rows)
    assert run(["build", str(demo), "--explain-size"]) == 0
    assert "test-suites" in capsys.readouterr().err, "an unchanged build explains itself as well"
