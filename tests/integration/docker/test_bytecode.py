"""Bytecode by the runtime's image, where this machine has no interpreter of its version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from factory import make_wheel
from layerkit.cli import run
from layerkit.container import owner
from layerkit.container.engine import OWNER
from sdists import serve_sdk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from docker import DockerClient

    from loopback import Loopback
    from stand_ins import StandIns

_PYPROJECT = """
[project]
name = "shop"
version = "1"
dependencies = ["lib"]

[tool.layerkit]
runtimes = ["python3.12"]
layers = { base = ["lib"] }
"""


def _build(folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[Any, bytes]:
    """Build with a store of its own; return the manifest, and the zip."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    monkeypatch.setenv("LAYERKIT_CACHE", str(store))
    assert run(["build", str(folder), *options]) == 0
    (path,) = folder.rglob("*.zip")
    (manifest,) = folder.rglob("py312-shop-1.json")
    return json.loads(manifest.read_text()), path.read_bytes()


def test_without_an_interpreter_the_image_compiles_the_same_bytes(
    stand_ins: dict[str, StandIns],
    engine: DockerClient,
    index: Loopback,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = stand_ins["python3.12"]
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", made.run)
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    assert index.folder
    serve_sdk(index.folder)
    files = {f"lib/m{number}.py": f"NAMES = {{'*', 'b{number}'}}\n" * 9000 for number in range(4)}
    make_wheel(index.folder, "lib", "1.0", files={"lib/__init__.py": "", **files})
    # The stand-in's interpreter is this machine's own, of the same release.
    here, outside = _build(tmp_path / "here", tmp_path / "store-1", monkeypatch, "--engine", "wheels")
    capsys.readouterr()

    # Now this machine has none.
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    there, inside = _build(tmp_path / "there", tmp_path / "store-2", monkeypatch)
    assert "engine docker: there is no Python 3.12 here for bytecode" in capsys.readouterr().err
    assert inside == outside
    assert there["preparing"] == here["preparing"]
    assert made.python in json.dumps(there["preparing"]["interpreter"])
    labelled: dict[str, Any] = {"label": f"{OWNER}={owner.mark()}"}
    assert engine.containers.list(all=True, filters=labelled) == []

    # What is known and in the store takes no engine: of this one nobody would answer.
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert _build(tmp_path / "there", tmp_path / "store-2", monkeypatch)[1] == outside
    assert "nothing to do" in capsys.readouterr().err
    # Nor does a store that has nothing yet wait for one: then there is no bytecode, and that is said.
    _, none = _build(tmp_path / "none-2", tmp_path / "store-3", monkeypatch)
    assert "no bytecode: there is no Python 3.12 here" in capsys.readouterr().err
    assert len(none) < len(outside)
    with ZipFile(next((tmp_path / "none-2").rglob("*.zip"))) as zipped:
        assert not any(name.endswith(".pyc") for name in zipped.namelist())
