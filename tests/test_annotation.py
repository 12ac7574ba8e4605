"""Errors as annotations of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.annotation import annotation
from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def said(where: str | None, top: Path) -> str | None:
    error = ConfigError("50% is no size,\nand neither is x", where=where, fix="write 10GB")
    return annotation(error, {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(top)})


def test_nothing_is_said_outside_of_a_job() -> None:
    assert annotation(ConfigError("no"), {}) is None


@pytest.mark.parametrize("more", ["", ": tool.layerkit.slim", ", line 3"])
def test_the_file_and_the_whole_text_are_named(more: str, tmp_path: Path) -> None:
    file = tmp_path / "a, b" / "pyproject.toml" if not more else tmp_path / "pyproject.toml"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    line = said(f"{file}{more}", tmp_path)
    name = "a%2C b/pyproject.toml" if not more else "pyproject.toml"
    text = f"{file}{more}: 50%25 is no size,%0Aand neither is x%0A  write 10GB"
    assert line == f"::error file={name},title=layerkit%3A ConfigError::{text}"


@pytest.mark.parametrize("where", [None, "nowhere.toml", "python3.12-x86_64"])
def test_what_is_no_file_of_the_repository_has_none(where: str | None, tmp_path: Path) -> None:
    line = said(where, tmp_path)
    assert line
    assert line.startswith("::error title=layerkit%3A ConfigError::")
    assert said("/etc/passwd", tmp_path) == said("/etc/passwd", tmp_path)
    assert "file=" not in (said("/etc/passwd", tmp_path) or "file=")
