"""Dynamic time warping (Sakoe and Chiba, 1978): how far apart two series are when time may run unevenly.

Loops over floats and nothing else, so that numba can compile it; Python runs it as well, and takes long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def distance(one: Any, other: Any, window: int) -> float:
    """Return the least sum of squared differences of two arrays of floats, as its root.

    Points are compared that are at most `window` apart, or as many as the arrays differ in length.
    """
    rows, columns = len(one), len(other)
    band = max(window, abs(rows - columns))
    before = np.full(columns + 1, math.inf)
    before[0] = 0.0
    for row in range(1, rows + 1):
        now = np.full(columns + 1, math.inf)
        for column in range(max(1, row - band), min(columns, row + band) + 1):
            apart = one[row - 1] - other[column - 1]
            least = min(before[column - 1], min(before[column], now[column - 1]))  # noqa: PLW3301 - of two, for numba
            now[column] = apart * apart + least
        before = now
    return math.sqrt(before[columns])
