"""Local folders built by a backend of their own, which needs no index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.errors import BuildError, WheelError
from layerkit.lock.local import build_wheel, refuse_foreign
from layerkit.target import target
from layerkit.wheel import Wheel

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store

_PYPROJECT = """
[project]
name = "own"
version = "1.0"

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = """
import base64, hashlib, os, pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    pathlib.Path("built.log").open("a").write("once\\n")
    if os.path.exists("broken"):
        raise RuntimeError("the backend says no")
    info = "own-1.0.dist-info"
    files = {
        "own.py": pathlib.Path("own.py").read_bytes(),
        f"{info}/METADATA": b"Metadata-Version: 2.1\\nName: own\\nVersion: 1.0\\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: TAG\\n",
    }
    rows = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(content)}")
    rows.append(f"{info}/RECORD,,")
    files[f"{info}/RECORD"] = ("\\n".join(rows) + "\\n").encode()
    name = "own-1.0-TAG.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for member, content in files.items():
            wheel.writestr(zipfile.ZipInfo(member), content)
    return name
"""


def _folder(tmp_path: Path, tag: str = "py3-none-any") -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    (folder / "backend.py").write_text(_BACKEND.replace("TAG", tag))
    (folder / "own.py").write_text("VALUE = 1\n")
    return folder


def test_a_folder_is_built_once_per_content(tmp_path: Path, store: Store) -> None:
    folder, kept = _folder(tmp_path), tmp_path / "kept"
    first = build_wheel(folder, "content-1", store, kept)
    again = build_wheel(folder, "content-1", store, kept)
    assert first == again == kept / "own-1.0-py3-none-any.whl"
    assert (folder / "built.log").read_text() == "once\n"
    assert Wheel.open(first, first.name).name == "own"
    (folder / "own.py").write_text("VALUE = 2\n")
    before = first.read_bytes()
    assert build_wheel(folder, "content-2", store, kept) == first
    assert first.read_bytes() != before
    assert (folder / "built.log").read_text() == "once\nonce\n"


def test_a_built_wheel_that_the_project_lost_comes_back_from_the_store(tmp_path: Path, store: Store) -> None:
    folder, kept = _folder(tmp_path), tmp_path / "kept"
    wheel = build_wheel(folder, "content", store, kept)
    content = wheel.read_bytes()
    wheel.unlink()
    assert build_wheel(folder, "content", store, kept).read_bytes() == content
    assert (folder / "built.log").read_text() == "once\n"


def test_a_backend_that_fails_is_quoted(tmp_path: Path, store: Store) -> None:
    folder = _folder(tmp_path)
    (folder / "broken").touch()
    with pytest.raises(BuildError, match="the backend says no") as refused:
        build_wheel(folder, "content", store, tmp_path / "kept")
    assert refused.value.where == str(folder)
    assert not (tmp_path / "kept").exists()


def test_a_wheel_for_this_machine_only_is_refused(tmp_path: Path, store: Store) -> None:
    folder = _folder(tmp_path, "cp312-cp312-linux_x86_64")
    wheel = build_wheel(folder, "content", store, tmp_path / "kept")
    with pytest.raises(BuildError, match=r"own-1\.0-cp312-cp312-linux_x86_64\.whl is not for python3\.12"):
        refuse_foreign(wheel, target("py312"))


@pytest.mark.parametrize(
    "tag", ["py3-none-any", "cp312-cp312-manylinux2014_x86_64", "cp38-abi3-manylinux_2_34_x86_64"]
)
def test_a_wheel_that_fits_is_let_pass(tmp_path: Path, tag: str) -> None:
    refuse_foreign(make_wheel(tmp_path, tag=tag).path, target("py312"))


def test_a_file_that_is_no_wheel_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(WheelError):
        refuse_foreign(tmp_path / "own.whl", target("py312"))
