"""Whether a version is inside a PEP 440 specifier set, mostly without importing `packaging`.

The import costs a warm build a tenth of its time, and hardly any requirement needs it: where the
numbers of the version and of a clause differ, they decide, whatever suffixes there are (rc1, post0,
+local). Where they are equal, the answer is plain for a version without a suffix and for a post
release. All else (`===`, epochs, equal numbers with other suffixes) is left to `packaging`.
"""

from __future__ import annotations

import re

__all__ = ["admits"]

_NUMBERS = r"([0-9]+(?:\.[0-9]+)*)"
_SUFFIX = r"((?:[.]?(?:a|b|rc|post|dev)[.]?[0-9]+)*)"
_CLAUSE = re.compile(rf"\s*(~=|>=|<=|==|!=|<|>)\s*{_NUMBERS}(?:{_SUFFIX}|(\.\*))\s*")
_VERSION = re.compile(rf"{_NUMBERS}({_SUFFIX}(?:\+[a-z0-9.]+)?)")
_POST = re.compile(r"\.post[0-9]+")
# Which comparisons hold for a version that is smaller, larger, equal, and a post release of the bound.
_SMALLER, _LARGER = frozenset({"<", "<=", "!="}), frozenset({">", ">=", "!="})
_EQUAL, _AFTER = frozenset({">=", "<=", "==", "~="}), frozenset({">=", "!=", "~="})


def admits(specifier: str, version: str) -> bool:
    """Tell whether the set admits the version; pre-releases are versions like any other.

    A version that PEP 440 does not know is in no set that narrows anything. Raises ValueError
    where `specifier` is not a specifier set.
    """
    if not specifier:
        return True
    clauses = [_CLAUSE.fullmatch(clause) for clause in specifier.split(",")]
    number = _VERSION.fullmatch(version)
    if number:
        verdicts = [clause and _verdict(clause, number) for clause in clauses]
        if None not in verdicts:
            return all(verdicts)
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    wanted = SpecifierSet(specifier)  # InvalidSpecifier is a ValueError
    try:
        return wanted.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def _verdict(clause: re.Match[str], version: re.Match[str]) -> bool | None:
    """Return what the numbers say of one clause; None where they do not decide."""
    comparison, suffix, wildcard = clause[1], clause[3], clause[4]
    bound, numbers = _numbers(clause[2]), _numbers(version[1])
    if wildcard:
        same = _filled(numbers, len(bound))[: len(bound)] == bound
        return {"==": same, "!=": not same}.get(comparison)
    if comparison == "~=" and (suffix or len(bound) == 1):
        return None
    width = max(len(bound), len(numbers))
    left, right = _filled(numbers, width), _filled(bound, width)
    if left == right:
        return None if suffix else _verdict_on_equal(comparison, version[2])
    if comparison == "~=":
        return left > right and left[: len(bound) - 1] == bound[:-1]
    return comparison in (_LARGER if left > right else _SMALLER)


def _verdict_on_equal(comparison: str, suffix: str) -> bool | None:
    """Return the verdict for a version that has the bound's numbers, and this suffix."""
    if not suffix:
        return comparison in _EQUAL
    return comparison in _AFTER if _POST.fullmatch(suffix) else None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _filled(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))
