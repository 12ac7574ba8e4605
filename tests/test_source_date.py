"""SOURCE_DATE_EPOCH: no value of it changes a byte, and what is no value is an error."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.cli import run
from layerkit.errors import UsageError
from layerkit.source_date import refuse_garbage
from own import own_project

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store
    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

YEAR_2107, YEAR_2200 = 4_354_819_198, 7_258_118_400
# unset, empty, the first second, an odd one (dates in a zip are even), before 1980, the last that a zip can
# name, after it, more than any clock counts
VALUES = [None, "", "0", "1234567891", "1", "315532799", str(YEAR_2107), str(YEAR_2200), "9" * 30, "007"]
GARBAGE = ["now", "-1", "+1", "1.5", "1e9", " 1", "1 ", "1\n", "0x10", "2026-11-21", "١٢", "1_000"]

_PYPROJECT = """
[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
layers = {nodeps = {project = true}}
functions = {api = {layers = ["nodeps"], code = "api"}}
"""


@pytest.fixture
def project(store: Store, index: Loopback, wheels: Path, tmp_path: Path) -> Path:
    """Lay down a project whose own wheel is built, and a function with code: all that has dates."""
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    assert index.names()
    assert store.root.parent == tmp_path
    folder = own_project(tmp_path / "dated", "dated", pyproject=_PYPROJECT)
    (folder / "api").mkdir()
    (folder / "api" / "app.py").write_text("import dated\n")
    return folder


@pytest.mark.parametrize("value", VALUES)
def test_every_number_of_seconds_is_right(value: str | None) -> None:
    refuse_garbage({} if value is None else {"SOURCE_DATE_EPOCH": value})


@pytest.mark.parametrize("value", GARBAGE)
def test_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is no number of seconds since 1970"):
        refuse_garbage({"SOURCE_DATE_EPOCH": value})


def test_no_value_changes_a_byte(
    project: Path, store: Store, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for value in (None, "0", "1234567891", "315532799", str(YEAR_2200)):
        if value is None:
            monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        else:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        monkeypatch.setenv("LAYERKIT_CACHE", str(store.root / f"of {value}"))
        folder = f"out {value}"
        assert run(["build", str(project), "--quiet", "--output", str(project.parent / folder)]) == 0, value
        files = sorted((project.parent / folder).glob("*/*"))
        assert len(files) == 3
        found.add(tuple((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files))
    assert len(found) == 1
    assert capsys.readouterr().err == ""


def test_garbage_fails_the_build_before_anything_is_written(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert run(["build", str(project)]) == 2
    said = capsys.readouterr().err
    assert "'yesterday' is no number of seconds since 1970" in said
    assert "1980-01-01" in said
    assert not (project / "dist").exists()
