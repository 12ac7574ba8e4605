"""Whether a range of Python versions admits a runtime, without importing `packaging` for plain ranges."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["admits"]

_PLAIN = re.compile(r"\s*(>=|<=|==|!=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


def admits(requires_python: str, version: str) -> bool:
    """Say whether a PEP 440 range admits a full version such as 3.12.3; ValueError if it is no range."""
    clauses = [_PLAIN.fullmatch(clause) for clause in requires_python.split(",") if clause.strip()]
    numbers = tuple(int(part) for part in version.split("."))
    if all(clause and (not clause[3] or clause[1] in {"==", "!="}) for clause in clauses):
        return all(_holds(clause[1], clause[2], clause[3] or "", numbers) for clause in clauses if clause)
    from packaging.specifiers import SpecifierSet

    # InvalidSpecifier is a ValueError.
    return SpecifierSet(requires_python).contains(version)


def _holds(comparison: str, written: str, wildcard: str, version: tuple[int, ...]) -> bool:
    """Compare as PEP 440 does: the shorter version is filled up with zeros, or with anything."""
    bound = tuple(int(part) for part in written.split("."))
    if wildcard:
        return _COMPARE[comparison](version[: len(bound)], bound)
    width = max(len(bound), len(version))
    return _COMPARE[comparison](_filled(version, width), _filled(bound, width))


def _filled(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))
