"""Frozen values to JSON and back: the fields of a dataclass are the keys of an object.

Only what layerkit's files hold is known: text, whole numbers, true and false, null, tuples, and
dataclasses of these. Reading is strict about what must be there and lets pass what it does not know, so
that a newer version may add to a file that an older one reads.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_NAMES = {str: "text", int: "a whole number", bool: "true or false"}


class UnfitError(ValueError):
    """A JSON value that does not fit; its path grows as it unwinds."""

    def __init__(self, fault: str) -> None:
        """Say what is wrong; callers put their key in front with `within`."""
        super().__init__(fault)
        self.fault = fault
        self.path = ""

    def within(self, key: str) -> UnfitError:
        """Put a key or an index in front of the path."""
        self.path = key + self.path
        return self

    def __str__(self) -> str:
        """Return the path and what is wrong there."""
        return f"{self.path.lstrip('.') or 'the document'} {self.fault}"


def as_json(value: Any) -> Any:
    """Return what `json.dumps` takes; a value that JSON has no form for is a TypeError."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (tuple, list)):
        return [as_json(item) for item in value]
    return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}


def from_json(kind: type[T], value: Any) -> T:
    """Return the `kind` that `value`, as `json.loads` gave it, spells. Raises UnfitError."""
    read: T = _read(kind, value)
    return read


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the fields of a dataclass and their types; computed once per class."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(kind: Any, value: Any) -> Any:
    """Read one value of any kind."""
    if kind in _NAMES:
        if type(value) is not kind:
            raise UnfitError(f"is not {_NAMES[kind]}")
        return value
    if dataclasses.is_dataclass(kind):
        return _object(kind, value)
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return _items(arguments[0], value)
    return None if value is None else _read(arguments[0], value)  # the one kind left: X | None


def _items(kind: Any, value: Any) -> tuple[Any, ...]:
    """Read a list, every item of the same kind."""
    if not isinstance(value, list):
        raise UnfitError("is not a list")
    items: list[Any] = []
    try:
        for item in value:
            items.append(_read(kind, item))  # noqa: PERF401 - its length is the index of the one that fails
    except UnfitError as error:
        raise error.within(f"[{len(items)}]") from None
    return tuple(items)


def _object(kind: Any, value: Any) -> Any:
    """Read an object; unknown keys are let pass."""
    if not isinstance(value, dict):
        raise UnfitError("is not an object")
    fields = {}
    for name, wanted in _fields(kind).items():
        if name not in value:
            raise UnfitError("is missing").within(f".{name}")
        try:
            fields[name] = _read(wanted, value[name])
        except UnfitError as error:
            raise error.within(f".{name}") from None
    return kind(**fields)
