"""The nearest of known series: what an event asks for, and the distance, beside one that tries every path.

numba compiles the distance where it runs, on its layers: `make e2e`.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearest_series.event import asked
from nearest_series.warping import distance

SERIES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=6)


def tried(one: list[float], other: list[float], window: int) -> float:
    band = max(window, abs(len(one) - len(other)))

    @cache
    def least(row: int, column: int) -> float:
        if abs(row - column) > band or min(row, column) < 0:
            return math.inf
        apart = (one[row] - other[column]) ** 2
        steps = [(row - 1, column), (row, column - 1), (row - 1, column - 1)]
        return apart + (0 if row == column == 0 else min(least(*step) for step in steps))

    return math.sqrt(least(len(one) - 1, len(other) - 1))


@given(one=SERIES, other=SERIES, window=st.integers(0, 7))
def test_the_distance_is_that_of_the_best_path(one: list[float], other: list[float], window: int) -> None:
    assert distance(np.array(one), np.array(other), window) == pytest.approx(tried(one, other, window))


def test_uneven_time_costs_nothing() -> None:
    assert distance(np.array([0.0, 1.0, 2.0, 1.0]), np.array([0.0, 0.0, 1.0, 2.0, 1.0, 1.0]), 10) == 0


def test_the_example_of_the_page() -> None:
    page = (Path(__file__).parents[1] / "lambda" / "series" / "README.md").read_text()
    event = asked(json.loads(next(line for line in page.splitlines() if '"hill"' in line)))
    (said,) = re.findall(r"`(\{\"nearest\".*?\})`", page)
    found = {
        name: distance(np.array(event.series), np.array(one), event.window)
        for name, one in event.known.items()
    }
    wanted = json.loads(said.replace("...", ""))
    assert min(found, key=found.__getitem__) == wanted["nearest"]
    assert found == pytest.approx(wanted["distances"], abs=0.001)


def test_an_event() -> None:
    found = asked({"series": [1, 2], "known": {"a": [3]}, "window": 4})
    assert found == ([1.0, 2.0], {"a": [3.0]}, 4)
    assert asked({"series": [1], "known": {"a": [1]}}).window >= 10_000


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event has to be"),
        ({"series": [1]}, "the event has to be"),
        ({"series": [1], "known": {"a": [1]}, "more": 1}, "the event has to be"),
        ({"series": [1], "known": {}}, "known has to be series by name"),
        ({"series": [1], "known": [[1]]}, "known has to be series by name"),
        ({"series": [], "known": {"a": [1]}}, "series has to be a list of 1 to 10,000 numbers"),
        ({"series": "1", "known": {"a": [1]}}, "series has to be a list"),
        ({"series": [1, True], "known": {"a": [1]}}, r"series\[1\] is no number"),
        ({"series": [1], "known": {"a": [1, None]}}, r"known.a\[1\] is no number"),
        ({"series": [math.nan], "known": {"a": [1]}}, r"series\[0\] is no number"),
        ({"series": [10**400], "known": {"a": [1]}}, r"series\[0\] is no number from -1e\+100 to 1e\+100"),
        ({"series": [1], "known": {"a": [-1e200]}}, r"known.a\[0\] is no number"),
        ({"series": [1], "known": {"a": [1]}, "window": -1}, "window has to be a whole number"),
        ({"series": [1], "known": {"a": [1]}, "window": True}, "window has to be a whole number"),
        ({"series": [1] * 10_000, "known": {str(n): [1] * 10_000 for n in range(11)}}, "1,100,000,000 pairs"),
    ],
)
def test_what_is_no_such_event(event: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        asked(event)


def test_a_window_bounds_nothing_between_series_of_other_lengths() -> None:
    known = {str(number): [1] * 5_000 for number in range(30)}
    with pytest.raises(ValueError, match="1,500,000,000 pairs"):
        asked({"series": [1] * 10_000, "known": known, "window": 0})


def test_a_window_of_any_size_is_that_of_the_longest_series() -> None:
    assert asked({"series": [1], "known": {"a": [1]}, "window": 2**63}).window == 10_000


def test_a_window_makes_more_series_possible() -> None:
    known = {str(number): [1] * 10_000 for number in range(11)}
    assert len(asked({"series": [1] * 10_000, "known": known, "window": 100}).known) == 11
