"""Read the text, TOML and JSON files of a project; every failure is a ConfigError with a place."""

from __future__ import annotations

import codecs
import os
import re
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["decode", "read_bytes", "read_json", "read_toml", "shown"]

# The longer mark first: UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# PEP 263, which pip honours in requirements files too: a comment in the first two lines.
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


def read_bytes(path: Path) -> bytes:
    """Return the file's content; ConfigError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigError(f"the file cannot be read: {reason}", where=str(path)) from None


def decode(data: bytes, where: str) -> str:
    """Return the text by its byte order mark, else by its coding comment, else as UTF-8."""
    encoding, skip = "utf-8", 0
    for mark, name in _MARKS:
        if data.startswith(mark):
            encoding, skip = name, len(mark)
            break
    else:
        for line in data.splitlines()[:2]:
            if match := _CODING.match(line):
                encoding = match[1].decode("ascii", "replace")
    try:
        return data[skip:].decode(encoding)
    except LookupError:
        raise ConfigError(f"there is no encoding called {encoding!r}", where=where) from None
    except UnicodeDecodeError as error:
        line_number = data.count(b"\n", 0, skip + error.start) + 1
        raise ConfigError(
            f"the file is not {encoding}: {error.reason}",
            where=f"{where}:{line_number}",
            fix="save it as UTF-8",
        ) from None


def read_toml(path: Path, where: str | None = None) -> dict[str, Any]:
    """Return the file's tables; ConfigError with line and column where it is not TOML."""
    from layerkit import toml

    text = decode(read_bytes(path), where or str(path))
    try:
        return toml.parse(text)
    except toml.TOMLDecodeError as error:
        raise ConfigError(f"the file is not TOML: {error}", where=where or str(path)) from None


def read_json(path: Path, where: str | None = None) -> Any:
    """Return the file's content; ConfigError with line and column where it is not JSON."""
    import json

    text = decode(read_bytes(path), where or str(path))
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the file is not JSON: {error}", where=where or str(path)) from None


def shown(path: Path, root: Path) -> str:
    """Return the path as a person reads it: relative to the project where that is shorter."""
    return os.path.relpath(path, root).replace(os.sep, "/")
