from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from layerkit.project import Project, load
from layerkit.project.project_json import from_json, is_current, to_json

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def found(tmp_path: Path) -> Project:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setup.cfg").write_text("[metadata]\nname = lib\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "pylock.toml").write_text(
        'lock-version = "1.0"\n[[packages]]\nname = "numpy"\nversion = "1.2"\n'
        f'wheels = [{{hashes = {{sha256 = "{"a" * 64}"}}}}]\n'
    )
    (tmp_path / "pyproject.toml").write_text(
        '[tool.poetry]\nname = "app"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.9"\n'
        'numpy = {version = "^1.2", python = "^3.9"}\nlib = {path = "lib"}\n'
        '[tool.layerkit]\nnever-deploy = ["b", "a"]\nbuild = ["x"]\ndocker = {images = {"3.12" = "i:1"}}\n'
        'collisions = {"python/x" = "a"}\n'
        "[tool.layerkit.slim]\nrows = {headers = false, a = ['x']}\nkeep = {b = ['*.h']}\n"
        "[tool.layerkit.over-limit]\nmode = 'bundle'\nlazy = true\n"
        '[tool.layerkit.functions.f]\ndependencies = true\ncode = "src"\ninclude = ["*.py"]\n'
    )
    return load(tmp_path)


def test_a_project_comes_back_as_it_was(found: Project) -> None:
    text = to_json(found)
    assert text is not None
    assert from_json(text) == found
    assert found.pins
    assert found.functions[0].code


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"name": 1, "nope": 2}', '{"layers": [1]}'])
def test_what_is_no_project_is_none(text: str) -> None:
    assert from_json(text) is None


def test_another_versions_fields_are_none(found: Project) -> None:
    document = json.loads(to_json(found) or "")
    assert from_json(json.dumps({**document, "new": 1})) is None
    document.pop("output")
    assert from_json(json.dumps(document)) is None


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://me:pw@host/",
        "x @ https://me:pw@host/x-1-py3-none-any.whl",
        "x==${LAYERKIT_TEST_VALUE}",
    ],
)
def test_secrets_are_not_written(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERKIT_TEST_VALUE", "1")
    (tmp_path / "requirements.txt").write_text(f"y\n{line}\n")
    assert to_json(load(tmp_path)) is None


def test_it_is_current_until_something_changes(found: Project) -> None:
    root = found.root
    assert is_current(found)
    (root / "src" / "handler.py").touch()
    (root / "README.md").touch()
    assert is_current(found)
    (root / "lib" / "new.py").touch()
    assert not is_current(found)


def test_a_lock_that_comes_or_goes_makes_it_stale(found: Project) -> None:
    (found.root / "poetry.lock").touch()
    assert not is_current(found)
    (found.root / "poetry.lock").unlink()
    (found.root / "pylock.toml").unlink()
    assert not is_current(found)


def test_code_that_is_gone_makes_it_stale(found: Project) -> None:
    shutil.rmtree(found.root / "src")
    assert not is_current(found)


def test_a_pyproject_that_appears_makes_it_stale(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    found = load(tmp_path)
    assert is_current(found)
    (tmp_path / "pyproject.toml").touch()
    assert not is_current(found)
