"""Where Lambda calls."""

from __future__ import annotations

from typing import Any

import fastparquet  # noqa: F401 - what takes long is imported while Lambda starts the function
import pandas as pd  # noqa: F401

from parquet_summary.event import wanted
from parquet_summary.summary import summarize


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Return the statistics of the object that an event names.

    Raises ValueError, NotFoundError or NotParquetError, which callers get as Lambda's JSON of an error.
    """
    asked = wanted(event)
    return summarize(f"{asked.bucket}/{asked.key}", asked.columns)
