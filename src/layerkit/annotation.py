"""Errors where CI shows them: as annotations of GitHub Actions, beside the file that they are about.

The form is GitHub's (docs.github.com/actions, "workflow commands"): `::error file=F,title=T::text`, with
percent signs and line ends escaped, and in properties colons and commas too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerkit.errors import LayerkitError

_TEXT = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = _TEXT | {":": "%3A", ",": "%2C"}


def annotation(error: LayerkitError, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the line that marks an error in a job of GitHub Actions, None anywhere else."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return None
    properties = {"title": f"layerkit: {type(error).__name__}"}
    if file := _file(error.where or "", environment.get("GITHUB_WORKSPACE", "")):
        properties = {"file": file} | properties
    said = ",".join(f"{key}={_escaped(value, _PROPERTY)}" for key, value in properties.items())
    return f"::error {said}::{_escaped(str(error), _TEXT)}"


def _file(where: str, workspace: str) -> str | None:
    """Return the file of the repository that an error is about: what a place begins with, where it is one."""
    for text in (where, *re.split(r": |, ", where)[:1]):
        path = Path(text).absolute()
        if text and path.is_file():
            top = Path(workspace).absolute()
            return str(path.relative_to(top)) if workspace and path.is_relative_to(top) else None
    return None


def _escaped(text: str, table: Mapping[str, str]) -> str:
    return "".join(table.get(one, one) for one in text)
