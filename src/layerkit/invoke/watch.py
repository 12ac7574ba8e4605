"""Waiting for a change in what a function is made of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from layerkit.errors import LayerkitError
from layerkit.layer.function_code import collect

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.invoke import Job

_PAUSE = 0.3  # seconds between two looks

Stamps = dict["Path", "tuple[int, int] | None"]


def stamps(job: Job, more: Iterable[Path]) -> Stamps:
    """Return what tells the files of a function, and some others, from other versions of them."""
    code = [job.code.code] if job.code.code else []
    try:
        found = collect(job.code, job.apart)
    except LayerkitError:  # a file in the middle of being saved
        found = None
    files = [file.path for file in found.files] if found else []
    return {path: _stamp(path) for path in (*job.layers, *code, *files, *more)}


def wait(job: Job, more: Iterable[Path], before: Stamps) -> None:
    """Return once any of them has changed, come or gone, and stayed as it is for a moment."""
    more = tuple(more)
    now = before
    while now == before:
        time.sleep(_PAUSE)
        now = stamps(job, more)
    while (after := stamps(job, more)) != now:
        now = after
        time.sleep(_PAUSE)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
