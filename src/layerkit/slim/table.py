"""The table of what a layer does not need: slim.toml, read and proved once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from layerkit.toml import parse

__all__ = ["Kept", "Row", "Table", "table", "text"]


class Row(Struct, frozen=True, kw_only=True):
    """What is left out under one name, and why.

    `patterns` are as in .gitignore, against the paths of `slim.seen`; the last that fits decides. A row
    that is `asked` counts only where a project turns it on. Of an `own` row of a project nothing is kept
    because it is in use. `beside` and `unless` look at the neighbours of a file: it goes only where
    one with the suffix `beside` in place of its own is there, and stays where the module of its name
    has the word `unless` in it. Files of a row that is `named` stay where a module has their name in
    quotes.
    """

    name: str
    patterns: tuple[str, ...]
    reason: str
    source: str | None = None
    asked: bool = False
    own: bool = False
    beside: str | None = None
    unless: str | None = None
    named: bool = False


class Kept(Struct, frozen=True, kw_only=True):
    """What stays of one package (its canonical name), whatever a row says of it, and why."""

    package: str
    patterns: tuple[str, ...]
    reason: str
    source: str | None = None


class Table(Struct, frozen=True, kw_only=True):
    """All of slim.toml, in its order: the first row that fits a file is the one that is named."""

    rows: tuple[Row, ...]
    keep: tuple[Kept, ...]


def text() -> str:
    """Return slim.toml as it stands."""
    return Path(__file__).with_name("slim.toml").read_text(encoding="utf-8")


@cache
def table() -> Table:
    """Return the table that layerkit ships."""
    document = parse(text())
    rows = (Row(name=name, **_fields(row)) for name, row in document["rows"].items())
    keep = (Kept(package=name, **_fields(row)) for name, row in document["keep"].items())
    return Table(rows=tuple(rows), keep=tuple(keep))


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "patterns": tuple(row["patterns"])}
