"""Hashes that the project itself has to name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.cli import run

if TYPE_CHECKING:
    from pathlib import Path

    from factory import BuiltWheel
    from layerkit.store import Store
    from loopback import Loopback

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def quick(store: Store, index: Loopback, wheels: Path) -> BuiltWheel:
    """Give a wheel that needs another; the index has both and the SDK."""
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "slow", "2.0")
    assert store
    assert index
    return make_wheel(wheels, "quick", "1.0", requires=["slow"])


def folder(tmp_path: Path, requirements: str) -> Path:
    """Write a project that is a requirements file."""
    root = tmp_path / "shop"
    root.mkdir(exist_ok=True)
    settings = 'runtimes = ["python3.12"]\nsdk-version = "1.42.0"\n'
    (root / "pyproject.toml").write_text(f"[tool.layerkit]\n{settings}")
    (root / "requirements.txt").write_text(requirements)
    return root


def hashed(wheel: Path, text: str) -> str:
    return f"{text} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def test_what_the_index_alone_vouches_for_is_refused_by_name(
    quick: BuiltWheel, tmp_path: Path, capsys: Capture
) -> None:
    root = folder(tmp_path, hashed(quick.path, "quick==1.0"))
    assert run(["build", str(root), "--require-hashes"]) == 4
    said = capsys.readouterr().err
    assert "in the lock without a hash of the project's own: " in said
    assert said.split("own: ")[1].splitlines()[0] == "slow 2.0"
    assert not list(root.rglob("*.zip"))


def test_a_project_that_names_every_hash_is_built(quick: BuiltWheel, wheels: Path, tmp_path: Path) -> None:
    names = {"quick": "1.0", "slow": "2.0"}
    files = {name: next(wheels.glob(f"{name}-*.whl")) for name in names}
    root = folder(tmp_path, "".join(hashed(files[name], f"{name}=={names[name]}") for name in names))
    assert run(["build", str(root), "--require-hashes"]) == 0
    assert quick.path in files.values()
    assert list(root.rglob("*.zip"))


def test_a_lock_that_stands_is_asked_as_well(quick: BuiltWheel, tmp_path: Path) -> None:
    root = folder(tmp_path, "quick\n")
    assert run(["build", str(root)]) == 0
    assert run(["build", str(root)]) == 0
    assert run(["build", str(root), "--require-hashes"]) == 4
    assert quick.path.exists()


@pytest.mark.parametrize("name", ["six", "python-dateutil", "urllib3"])
def test_what_the_sdk_needs_and_a_layer_has_all_the_same_is_vouched_for_too(
    quick: BuiltWheel, wheels: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    made = make_wheel(wheels, name, "1.2")
    root = folder(tmp_path, f"boto3\njmespath\n{name}==1.2\n")
    make_wheel(wheels, "jmespath", "1.0")
    assert run(["build", str(root), "--require-hashes"]) == 4
    assert capsys.readouterr().err.split("own: ")[1].splitlines()[0] == f"{name} 1.2"
    folder(tmp_path, f"boto3\njmespath\n{hashed(made.path, f'{name}==1.2')}")
    assert run(["build", str(root), "--require-hashes"]) == 0
    assert quick.path.exists()


def test_an_sdk_that_is_shipped_is_vouched_for_as_a_whole(
    quick: BuiltWheel, wheels: Path, tmp_path: Path, capsys: Capture
) -> None:
    made = make_wheel(wheels, "six", "1.2")
    root = folder(tmp_path, hashed(made.path, "six==1.2"))
    assert run(["build", str(root), "--require-hashes", "--sdk", "bundle"]) == 4
    assert capsys.readouterr().err.split("own: ")[1].splitlines()[0] == "boto3 1.42.0, botocore 1.42.0"
    assert quick.path.exists()


def test_a_requirements_file_may_ask_for_it_itself(
    quick: BuiltWheel, tmp_path: Path, capsys: Capture
) -> None:
    root = folder(tmp_path, f"--require-hashes\n{hashed(quick.path, 'quick==1.0')}")
    assert run(["build", str(root)]) == 4
    assert "own: slow 2.0" in capsys.readouterr().err
    more = root / "more.txt"
    more.write_text("--require-hashes\n")
    folder(tmp_path, "quick==1.0\n-r more.txt\n")
    assert run(["lock", str(root)]) == 4
    assert "own: quick 1.0, slow 2.0" in capsys.readouterr().err
