"""What an event asks for: a series, those that are known, and how far time may be warped."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

_LONGEST = 10_000  # points of a series
_FARTHEST = 1e100  # from 0: the squares of such numbers can still be added up
_LARGEST = 1_000_000_000  # pairs of points that an event may ask to be compared: a few seconds


class Asked(NamedTuple):
    """A series, the known ones by name, and how many points apart two may be that are compared."""

    series: List[float]  # noqa: UP006 - read while it runs, on 3.7 too
    known: Dict[str, List[float]]  # noqa: UP006
    window: int


def asked(event: Any) -> Asked:
    """Read `{"series": [...], "known": {"name": [...], ...}, "window": 10}`, the window if there is one.

    Raises ValueError for anything else, and for more than an event may ask.
    """
    if not isinstance(event, dict) or not {"series", "known"} <= set(event) <= {"series", "known", "window"}:
        message = (
            'the event has to be {"series": [...], "known": {"name": [...]}}, with "window": 10 if need be'
        )
        raise ValueError(message)
    known, window = event["known"], event.get("window", _LONGEST)
    if not isinstance(known, dict) or not known:
        message = "known has to be series by name, one at least"
        raise ValueError(message)
    if not isinstance(window, int) or isinstance(window, bool) or window < 0:
        message = "window has to be a whole number, 0 or more"
        raise ValueError(message)
    series = _numbers(event["series"], "series")
    found = {name: _numbers(one, f"known.{name}") for name, one in known.items()}
    pairs = sum(_pairs(len(series), len(one), window) for one in found.values())
    if pairs > _LARGEST:
        message = f"{pairs:,} pairs of points are more than {_LARGEST:,}: ask for fewer, or set a window"
        raise ValueError(message)
    return Asked(series, found, min(window, _LONGEST))


def _pairs(rows: int, columns: int, window: int) -> int:
    """Return at most how many pairs of points are compared of two series."""
    return rows * min(columns, 2 * max(window, abs(rows - columns)) + 1)


def _numbers(value: Any, where: str) -> List[float]:  # noqa: UP006
    if not isinstance(value, list) or not 0 < len(value) <= _LONGEST:
        message = f"{where} has to be a list of 1 to {_LONGEST:,} numbers"
        raise ValueError(message)
    for number, one in enumerate(value):
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not abs(one) <= _FARTHEST:
            message = f"{where}[{number}] is no number from {-_FARTHEST:g} to {_FARTHEST:g}"
            raise ValueError(message)
    return [float(one) for one in value]
