"""The programs that run in images, run on this machine's own interpreter."""

from __future__ import annotations

import ast
import json
import platform
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import deflate
import pytest

from factory import make_wheel

INSIDE = files("layerkit.container").joinpath("inside")
HOOK, LIBRARIES = str(INSIDE / "hook.py"), str(INSIDE / "libraries.py")

_BACKEND = """
import sys
print("noise on stdout")
def get_requires_for_build_wheel(config_settings=None): return ["cython<4", sys.path[0]]
def build_wheel(folder, config_settings=None, metadata_directory=None): return folder + "/a.whl"
class Inner:
    def build_wheel(folder): return "inner"
"""


@pytest.mark.parametrize("name", [path.name for path in INSIDE.iterdir() if path.name.endswith(".py")])
def test_they_are_written_for_old_pythons_and_import_nothing_of_ours(name: str) -> None:
    tree = ast.parse((INSIDE / name).read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in imported} <= sys.stdlib_module_names
    assert "__future__" not in imported, "annotations are of Python 3.7"


def hook(folder: Path, backend: str, name: str, *arguments: str, paths: str = '["back"]') -> Any:
    """Run the program in a folder with a backend below it, and return its answer."""
    answer = folder / "answer.json"
    command = [sys.executable, HOOK, backend, paths, str(answer), name, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return json.loads(answer.read_text())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine.py").write_text(_BACKEND)
    return tmp_path


def test_a_hook_is_called_and_its_answer_kept_apart_from_noise(source: Path) -> None:
    assert hook(source, "mine", "get_requires_for_build_wheel") == ["cython<4", str(source / "back")]
    assert hook(source, "mine", "build_wheel", "out") == "out/a.whl"
    assert hook(source, "mine:Inner", "build_wheel", "out") == "inner"


def test_a_hook_that_need_not_be_there_requires_nothing(source: Path) -> None:
    assert hook(source, "mine:Inner", "get_requires_for_build_wheel") == []
    with pytest.raises(subprocess.CalledProcessError):
        hook(source, "json", "build_wheel", "out")


def test_the_folder_of_the_program_is_not_where_a_backend_looks(source: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        hook(source, "libraries", "get_requires_for_build_wheel")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ELF files and a loader to ask")
def test_libraries_are_found_as_the_loader_finds_them(tmp_path: Path) -> None:
    (extension,) = Path(deflate.__file__).parent.glob("*.so")
    wheel = make_wheel(
        tmp_path,
        files={f"demo/{extension.name}": extension.read_bytes(), "demo/text.so": "no ELF", "demo/e": ""},
        tag=f"cp312-cp312-linux_{platform.machine()}",
    )
    answer = tmp_path / "answer.json"
    subprocess.run([sys.executable, LIBRARIES, wheel.path, tmp_path / "reached", answer], check=True)
    found = json.loads(answer.read_text())
    assert found["elf"] == [f"demo/{extension.name}"]
    assert found["missing"] == []
    copied = [path for path in (tmp_path / "reached" / "root").rglob("*") if path.is_file()]
    assert "libc.so.6" in {path.name for path in copied}
    assert (
        sorted({f"/{path.parent.relative_to(tmp_path / 'reached' / 'root')}" for path in copied})
        == found["folders"]
    )
