"""The statistics of a Parquet object, added up row group by row group, so that memory stays flat."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Any, List, Optional, cast


class NotFoundError(Exception):
    """There is no such object, or no such column in it."""


class NotParquetError(Exception):
    """The object is none that can be read as Parquet."""


@lru_cache(maxsize=None)
def file_system() -> Any:
    """Return S3 as a file system; an environment has one. It goes where AWS_ENDPOINT_URL points."""
    import s3fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return s3fs.S3FileSystem(
        client_kwargs={"endpoint_url": endpoint} if endpoint else {}, use_listings_cache=False
    )


def summarize(path: str, columns: Optional[List[str]] = None) -> dict[str, Any]:  # noqa: UP006, UP045
    """Return how many rows an object has, and what its columns hold; `path` is bucket/key.

    Raises NotFoundError and NotParquetError.
    """
    found = _opened(path)
    names = list(found.columns) if columns is None else columns
    missing = sorted(set(names) - set(found.columns))
    if missing:
        message = f"{path} has no column {', '.join(missing)}; it has {', '.join(found.columns)}"
        raise NotFoundError(message)
    totals = {name: Total(str(found.dtypes[name])) for name in names}
    rows = 0
    for group in found.iter_row_groups(columns=names):
        rows += len(group)
        for name, total in totals.items():
            total.add(group[name])
    summed = {name: total.as_json() for name, total in totals.items()}
    return {"object": path, "rows": rows, "row_groups": len(found.row_groups), "columns": summed}


def _opened(path: str) -> Any:
    """Open an object, reading its footer alone."""
    import fastparquet

    files = file_system()
    try:
        files.open(path, "rb").close()
    except FileNotFoundError as error:
        message = f"there is no object {path}"
        raise NotFoundError(message) from error
    try:
        return fastparquet.ParquetFile(path, open_with=files.open)
    except PermissionError:
        raise
    except (ValueError, KeyError, TypeError, OSError, fastparquet.util.ParquetException) as error:
        message = f"{path} is no Parquet: {error}"
        raise NotParquetError(message) from error


class Total:
    """What is known of one column after the row groups so far."""

    def __init__(self, kind: str) -> None:
        """Begin with nothing; `kind` is the column's type in pandas."""
        self._kind = kind
        self._count = self._missing = 0
        self._mean = self._squares = 0.0
        self._least: Any = None
        self._most: Any = None
        self._numbers = False

    def add(self, column: Any) -> None:
        """Add the values of one row group, a Series of pandas."""
        import pandas as pd

        present = column.dropna()
        self._missing += len(column) - len(present)
        if not len(present):
            return
        if pd.api.types.is_numeric_dtype(present):
            self._numbers = True
            self._add_numbers(present.astype("float64"))
        self._count += len(present)
        if isinstance(present.dtype, pd.CategoricalDtype):
            present = present.astype(object)
        least, most = present.min(), present.max()
        self._least = least if self._least is None else min(self._least, least)
        self._most = most if self._most is None else max(self._most, most)

    def _add_numbers(self, values: Any) -> None:
        """Join mean and squares of deviations of two sets of numbers (Chan, Golub and LeVeque, 1979)."""
        count = len(values)
        mean = float(values.mean())
        apart = mean - self._mean
        whole = self._count + count
        self._squares += float(((values - mean) ** 2).sum()) + apart**2 * self._count * count / whole
        self._mean += apart * count / whole

    def as_json(self) -> dict[str, Any]:
        """Return the statistics; what a column has none of is null."""
        found = {"type": self._kind, "count": self._count, "missing": self._missing}
        found.update(min=_plain(self._least), max=_plain(self._most))
        if self._numbers:
            deviation = math.sqrt(self._squares / (self._count - 1)) if self._count > 1 else None
            found.update(mean=_plain(self._mean), std=_plain(deviation))
        return cast("dict[str, Any]", found)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: dates as text, no infinity."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
