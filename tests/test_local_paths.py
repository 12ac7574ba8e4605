from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project.local_paths import folder_digest, name_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    folder = tmp_path / "lib"
    (folder / "pkg" / "build").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "My.Lib"\n')
    (folder / "pkg" / "a.py").write_text("a")
    (folder / "pkg" / "build" / "b.py").write_text("b")
    return folder


def test_a_digest_depends_on_names_and_contents(lib: Path, tmp_path: Path) -> None:
    first = folder_digest(lib)
    assert len(first) == 64
    lib.rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    assert folder_digest(moved) == first
    (moved / "pkg" / "a.py").rename(moved / "pkg" / "c.py")
    second = folder_digest(moved)
    (moved / "pkg" / "build" / "b.py").write_text("B")
    assert len({first, second, folder_digest(moved)}) == 3


@pytest.mark.parametrize(
    "name",
    [
        ".git/HEAD",
        "pkg/__pycache__/a.pyc",
        "dist/x",
        "build/x",
        "My_Lib.egg-info/x",
        ".venv/x",
        ".layerkit/x",
        "pkg/a.pyc",
    ],
)
def test_leftovers_do_not_count(name: str, lib: Path) -> None:
    first = folder_digest(lib)
    (lib / name).parent.mkdir(exist_ok=True)
    (lib / name).write_text("x")
    assert folder_digest(lib) == first


def test_two_files_are_not_one_of_both_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, files in ((one, {"a": "b", "c": "d"}), (other, {"a": "bc", "cd": ""})):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert folder_digest(one) != folder_digest(other)


def test_links_count_as_text_and_are_not_followed(lib: Path) -> None:
    first = folder_digest(lib)
    (lib / "loop").symlink_to("..")
    second = folder_digest(lib)
    assert second != first
    (lib / "loop").unlink()
    (lib / "loop").symlink_to("../..")
    assert folder_digest(lib) not in {first, second}


def test_paths_can_be_left_out(lib: Path) -> None:
    first = folder_digest(lib)
    (lib / "out").mkdir()
    (lib / "out" / "x").touch()
    assert folder_digest(lib) != first
    assert folder_digest(lib, (lib / "out",)) == first


def test_names(lib: Path, tmp_path: Path) -> None:
    assert name_of(lib, "x") == "My.Lib"
    (tmp_path / "my_lib-1.0-py3-none-any.whl").touch()
    assert name_of(tmp_path / "my_lib-1.0-py3-none-any.whl", "x") == "my_lib"
    (lib / "pyproject.toml").write_text('[tool.poetry]\nname = "p"\n')
    assert name_of(lib, "x") == "p"
    (lib / "pyproject.toml").write_text("[build-system]\n")
    (lib / "setup.cfg").write_text("[metadata\n")
    with pytest.raises(ConfigError, match="the file cannot be read"):
        name_of(lib, "x")
    (lib / "setup.cfg").unlink()
    (lib / "setup.py").write_text("def (")
    with pytest.raises(ConfigError, match="does not say which package"):
        name_of(lib, "x")
