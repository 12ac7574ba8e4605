"""The division of a plan, kept for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from layerkit.errors import ConfigError
from layerkit.layer import last_division
from locks import PANDAS, lock, planned, project

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.project import Project

KEY = "python3.12-x86_64"


def made(folder: Path, *, divided: bool = True) -> Project:
    roots = {"base": ["six"], "report": ["pandas"]}
    wanted = project(roots, {"report": ["base", "report"]}, divided=["report"] if divided else [])
    return replace(wanted, lock_folder=folder)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    wanted = made(tmp_path)
    text = last_division.write(wanted, planned(wanted, lock(PANDAS)))
    layers, again = last_division.read(wanted, KEY)
    assert again == text
    assert layers == {"numpy": frozenset({"numpy", "pandas", "python-dateutil"})}, "and no declared layer"


def test_a_project_that_declares_its_layers_has_none(tmp_path: Path) -> None:
    wanted = made(tmp_path)
    last_division.write(wanted, planned(wanted, lock(PANDAS)))
    declared = made(tmp_path, divided=False)
    assert last_division.read(declared, KEY) == ({}, "")
    assert last_division.write(declared, planned(declared, lock(PANDAS))) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "x", "layers": {}}', '{"schema": "layerkit/division/1"}']
)
def test_something_else_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{KEY}.division.json").write_text(text)
    with pytest.raises(ConfigError, match=r"not a division[^\n]*\n  remove it"):
        last_division.read(made(tmp_path), KEY)
