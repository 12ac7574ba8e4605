"""The events of a command line: files, or stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"
# What a synchronous invocation may be given, as Lambda's refusal of a longer one says it.
LARGEST = 6_291_456


class Given(Struct, frozen=True, kw_only=True):
    """An event and where it came from."""

    name: str
    payload: bytes


def read_events(names: Sequence[str]) -> list[Given]:
    """Return the events in files, `-` for stdin; without any, one that is empty.

    Raises UsageError for one that cannot be read, is no JSON or is larger than Lambda takes.
    """
    if names.count(STDIN) > 1:
        raise UsageError("stdin can be read once", where="--event -", fix="write the events to files")
    return [_read(name) for name in names] or [Given(name="{}", payload=b"{}")]


def _read(name: str) -> Given:
    try:
        payload = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"the event cannot be read: {error.strerror}", where=name) from error
    where = "stdin" if name == STDIN else name
    try:
        json.loads(payload.decode())
    except ValueError as error:
        raise UsageError(f"the event is no JSON: {error}", where=where) from error
    if len(payload) > LARGEST:
        raise UsageError(f"the event has {len(payload):,} bytes, and Lambda takes {LARGEST:,}", where=where)
    return Given(name=where, payload=payload)
