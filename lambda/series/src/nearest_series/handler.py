"""Where Lambda calls."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float64, int64, njit

from nearest_series.event import asked
from nearest_series.warping import distance

# With its types, so that it is compiled while Lambda starts the function and not at the first event.
_compiled = njit(float64(float64[::1], float64[::1], int64))(distance)


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Return the distance to each known series, and the name of the nearest.

    Raises ValueError, which callers get as Lambda's JSON of an error.
    """
    wanted = asked(event)
    series = np.array(wanted.series)
    found = {name: _compiled(series, np.array(one), wanted.window) for name, one in wanted.known.items()}
    return {"nearest": min(found, key=lambda name: (found[name], name)), "distances": found}
