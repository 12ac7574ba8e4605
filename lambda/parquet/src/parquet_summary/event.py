"""What an event asks for: one object, and which of its columns."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional
from urllib.parse import unquote_plus

_KEYS = {"bucket", "key", "columns"}


class Wanted(NamedTuple):
    """An object of S3, and the columns to be summed up; None for all of them."""

    bucket: str
    key: str
    columns: Optional[List[str]] = None  # noqa: UP006, UP045 - read while it runs, on 3.7 too


def wanted(event: Any) -> Wanted:
    """Read `{"bucket": ..., "key": ..., "columns": [...]}`, or the event of S3 when an object was made.

    Raises ValueError for anything else.
    """
    if isinstance(event, dict) and event.get("Records"):
        return _of_s3(event["Records"])
    if not isinstance(event, dict) or not {"bucket", "key"} <= set(event) <= _KEYS:
        message = 'the event has to be {"bucket": ..., "key": ...}, with "columns": [...] for some of them'
        raise ValueError(message)
    columns = event.get("columns")
    if columns is not None and not (isinstance(columns, list) and columns and all(map(_is_text, columns))):
        message = "columns has to be a list of names"
        raise ValueError(message)
    if not (_is_text(event["bucket"]) and _is_text(event["key"])):
        message = "bucket and key have to be text"
        raise ValueError(message)
    return Wanted(event["bucket"], event["key"], columns)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _of_s3(records: Any) -> Wanted:
    """Read the event that S3 sends; it names one object, whose key is written as in an address."""
    try:
        (record,) = records
        return Wanted(record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
    except (ValueError, KeyError, TypeError) as error:
        message = "the event's record names no object of S3"
        raise ValueError(message) from error
