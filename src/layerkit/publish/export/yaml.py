"""YAML as far as templates need it: maps, lists, and text in quotes, which JSON's rules make safe."""

from __future__ import annotations

import json
import re
from typing import Any

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(::[A-Za-z0-9]+)*")
# Characters that JSON lets stand and YAML does not, or takes for the end of a line.
_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")
# What YAML 1.1 takes for something other than text.
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def dumped(value: Any, indent: int = 0) -> str:
    """Return a map or a list as YAML, each line indented by so many spaces."""
    return "".join(f"{' ' * indent}{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in _entry(f"{_text(key)}:", inner)]
    return [line for inner in value for line in _item(inner)]


def _entry(key: str, value: Any) -> list[str]:
    if not isinstance(value, (dict, list)):
        return [f"{key} {_text(value)}"]
    if not value:
        return [f"{key} {'{}' if isinstance(value, dict) else '[]'}"]
    return [key, *(f"  {line}" for line in _lines(value))]


def _item(value: Any) -> list[str]:
    if not isinstance(value, (dict, list)) or not value:
        return [f"- {_text(value)}"]
    first, *rest = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _text(value: Any) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
