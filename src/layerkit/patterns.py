"""Patterns of file names, as .gitignore has them.

- `*` stands for any characters but the slash, `?` for one of them, `[a-z]` and `[!a-z]` for one of
  a set; a backslash takes the next character as it is.
- A pattern without a slash, or with one at its end only, fits a name in any folder; every other
  pattern is read from the top folder, whether it begins with a slash or `./` or not.
- `**/` stands for any number of folders, also none; `/**` at the end for everything in a folder.
- A slash at the end: folders only. A folder that fits brings everything in it.
- `!` in front takes back what an earlier pattern said: the last pattern that fits decides. As in
  git, nothing comes back from a folder that is itself left out.

Blank patterns, `..` and an open bracket are errors here, where git would quietly match nothing;
`#` has no meaning, for these are lists and not files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANY_FOLDERS = "(?:.*/)?"
_SPECIAL = re.compile(r"[*?\[\\]")


class Pattern(Struct, frozen=True, kw_only=True):
    """One pattern: its text, whether it takes back, is for folders only, is free of wildcards."""

    text: str
    negative: bool
    folders_only: bool
    literal: bool
    expression: re.Pattern[str]

    def fits(self, name: str, *, folder: bool) -> bool:
        """Say whether the pattern fits a path relative to the top folder, with slashes."""
        return (folder or not self.folders_only) and self.expression.fullmatch(name) is not None


def parse(text: str) -> Pattern:
    """Return the pattern that `text` spells. Raises ConfigError when it spells none."""
    negative = text.startswith("!")
    body = text[1:] if negative else text
    body = body.removeprefix(".") if body.startswith("./") else body
    path = body.strip("/")
    if not path or ".." in path.split("/"):
        raise ConfigError(
            f"{text!r} is not a pattern for files of a folder", fix="write it as in .gitignore, without .."
        )
    anchored = "/" in body.rstrip("/")
    return Pattern(
        text=text,
        negative=negative,
        folders_only=body.endswith("/"),
        literal=_SPECIAL.search(path) is None,
        expression=_expression(path.split("/"), anchored=anchored),
    )


def decide(patterns: Sequence[Pattern], name: str, *, folder: bool) -> bool | None:
    """Return what the last fitting pattern says of a name: True, False for `!`, None when none fits."""
    for pattern in reversed(patterns):
        if pattern.fits(name, folder=folder):
            return not pattern.negative
    return None


def _expression(parts: Sequence[str], *, anchored: bool) -> re.Pattern[str]:
    """Translate the parts between the slashes into one regular expression for a whole path."""
    *folders, last = parts
    text = "" if anchored else _ANY_FOLDERS
    for part in folders:
        text += _ANY_FOLDERS if part == "**" else _part(part) + "/"
    text += ".+" if last == "**" else _part(last)
    return re.compile(text, re.DOTALL)


def _part(part: str) -> str:
    """Translate what stands between two slashes."""
    text, at = "", 0
    while at < len(part):
        char = part[at]
        if char == "[":
            piece, at = _set(part, at)
            text += piece
            continue
        if char == "\\" and at + 1 < len(part):
            at += 1
            text += re.escape(part[at])
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
        at += 1
    return text


def _set(part: str, start: int) -> tuple[str, int]:
    """Translate the bracket that opens at `start`, and return where the text goes on."""
    at = start + 1
    negative = part[at : at + 1] in ("!", "^")
    at += negative
    end = part.find("]", at + 1)  # a bracket that closes at once is a member of the set
    if end < 0:
        raise ConfigError(f"the bracket in {part!r} is not closed", fix="write \\[ for a bracket as such")
    members = part[at:end].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    members = members.replace("^", "\\^").replace("&", "\\&").replace("~", "\\~").replace("|", "\\|")
    try:
        re.compile(text := f"[{'^' if negative else ''}{members}]")
    except re.error as error:
        raise ConfigError(f"the bracket in {part!r} cannot be read: {error}") from error
    return f"(?!/){text}", end + 1
