"""tools/venv.sh, which the Makefile begins with: what it says when the machine lacks something."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_NEEDED = ("sh", "dirname", "id", "cat", "cksum")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a folder like a fresh clone, as far as the script looks at it before it finds a Python."""
    folder = tmp_path / "a clone"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "venv.sh", folder / "tools")
    (folder / "tools" / "poetry.txt").touch()
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Give a folder for PATH with the few programs that every machine has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in _NEEDED:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def _python(machine: Path, name: str, answer: str) -> Path:
    """Add an interpreter that answers the script's question about itself."""
    path = machine / name
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def _run(clone: Path, machine: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(
        [str(clone / "tools" / "venv.sh"), *(arguments or ("main",))],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, "PATH": str(machine), **environment},
    )


def test_no_python_at_all_is_said_with_the_command_that_gets_it(clone: Path, machine: Path) -> None:
    done = _run(clone, machine)
    assert done.returncode == 1
    assert "none is on PATH" in done.stderr
    assert "apt-get install -y python3 python3-venv" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_python_without_venv_is_told_from_an_old_one(clone: Path, machine: Path) -> None:
    _python(machine, "python3", "old 3.9")
    assert "python3 is 3.9" in _run(clone, machine).stderr
    _python(machine, "python3.12", "venv 3.12")
    done = _run(clone, machine)
    assert "Python 3.12 has no venv" in done.stderr
    assert "apt-get install -y python3-venv" in done.stderr


def test_the_python_that_was_chosen_is_the_only_one_tried(clone: Path, machine: Path) -> None:
    _python(machine, "python3", "venv 3.12")
    chosen = _python(machine, "my python", "old 3.8")
    assert f"{chosen} is 3.8" in _run(clone, machine, PYTHON=str(chosen)).stderr
    assert "PYTHON=/no/such does not run" in _run(clone, machine, PYTHON="/no/such").stderr


def test_an_unknown_set_is_refused(clone: Path, machine: Path) -> None:
    done = _run(clone, machine, "everything")
    assert done.returncode == 1
    assert "usage: tools/venv.sh main|dev|lock" in done.stderr
