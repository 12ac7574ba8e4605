"""Read a TOML table key by key: the right type, or a fault with the key's path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from layerkit.errors import ConfigError
from layerkit.project.faults import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from layerkit.project.faults import Faults

Word = TypeVar("Word", bound=str)

__all__ = ["Table", "joined", "names", "optional_text", "strings", "table"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KINDS = {
    str: "a string",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    int: "a number",
    float: "a number",
}


def joined(path: str, key: str) -> str:
    """Return the path of a key, quoted as TOML wants it."""
    return f"{path}.{key}" if _BARE.fullmatch(key) else f'{path}."{key}"'


def table(tables: Any, *keys: str) -> dict[str, Any]:
    """Return the table under the keys; an absent one is empty, and so is what is not a table."""
    for key in keys:
        tables = tables.get(key) if isinstance(tables, dict) else None
    return tables if isinstance(tables, dict) else {}


def names(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of strings, nothing where it is absent; ConfigError where it is something else."""
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(f"{value!r} is not a list of names", where=where)


def optional_text(value: Any, where: str) -> str | None:
    """Return a string, None where it is absent; ConfigError where it is something else."""
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f"{value!r} is not a string", where=where)


class Table:
    """One table and its path, such as `pyproject.toml: tool.layerkit.layers`."""

    def __init__(self, value: Any, path: str, faults: Faults, known: Collection[str] | None = None) -> None:
        """Take the table; a wrong type and, where `known` names the keys, unknown keys are faults."""
        self.path, self.faults = path, faults
        self.values: dict[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            _wrong(self.faults, path, value, "a table")
        for key in self.values:
            if known is not None and key not in known:
                self.faults.add(joined(path, key), f"there is no such key{nearest(key, known)}")

    def at(self, key: str) -> str:
        """Return the path of a key."""
        return joined(self.path, key)

    def string(self, key: str) -> str | None:
        """Return a string that is not empty, or None where the key is absent or wrong."""
        value = self.values.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        _wrong(self.faults, self.at(key), value, "a string") if value != "" else self.faults.add(
            self.at(key), "this is empty"
        )
        return None

    def choice(self, key: str, known: tuple[Word, ...]) -> Word | None:
        """Return one of the known words."""
        value = self.string(key)
        if value is None:
            return None
        for word in known:
            if word == value:
                return word
        self.faults.add(self.at(key), f"{value!r} is none of {', '.join(known)}{nearest(value, known)}")
        return None

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean; the default where the key is absent or wrong."""
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        _wrong(self.faults, self.at(key), value, "true or false")
        return default

    def strings(self, key: str) -> list[tuple[str, str]] | None:
        """Return (path, string) for each item of a list, or None where the key is absent."""
        if key not in self.values:
            return None
        return list(strings(self.values[key], self.at(key), self.faults))

    def tables(self, key: str) -> Iterator[tuple[str, str, Any]]:
        """Yield (key, path, value) of each entry of a table of tables; nothing where it is absent."""
        if key in self.values:
            inner = Table(self.values[key], self.at(key), self.faults)
            for name, value in inner.values.items():
                yield name, inner.at(name), value


def strings(value: Any, path: str, faults: Faults) -> Iterator[tuple[str, str]]:
    """Yield (path, string) for each item of a list; what is no list and no string is a fault."""
    if not isinstance(value, list):
        _wrong(faults, path, value, "a list of strings")
        return
    for index, item in enumerate(value):
        if isinstance(item, str) and item.strip():
            yield f"{path}[{index}]", item.strip()
        elif isinstance(item, str):
            faults.add(f"{path}[{index}]", "this is empty")
        else:
            _wrong(faults, f"{path}[{index}]", item, "a string")


def _wrong(faults: Faults, path: str, value: Any, wanted: str) -> None:
    """Note that a value has the wrong type."""
    faults.add(path, f"this is {_KINDS.get(type(value), 'a date')}, and has to be {wanted}")
