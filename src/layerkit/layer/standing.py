"""Whether an earlier build still stands, told without opening a zip.

A *build key* is the digest of everything that decides what a build writes. After a build, a small
state file in the project's own folder keeps the key and what `os.stat` said of every file written.
When a later run has the same key and every file still has that size, time and inode, there is nothing to
do. Any doubt (another format, a missing or touched file, a state that cannot be read) means: build
again, which is quick, and harmless.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit import __version__
from layerkit.output import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMAT = 2


def build_key(*parts: str) -> str:
    """Return the key of a build that `parts` decide: digests of the lock, the configuration, the code.

    Their order counts. The version of layerkit is always part of it.
    """
    return hashlib.sha256(json.dumps([_FORMAT, __version__, *parts]).encode()).hexdigest()


def remember(state: Path, key: str, files: Iterable[Path]) -> None:
    """Keep in `state` that the build of `key` wrote `files`: the manifest and the zips beside it.

    Call it after the last of them is in place. Raises StorageError.
    """
    try:
        folder = state.parent.resolve()
        rows = [[os.path.relpath(path.resolve(), folder), *_stamp(path)] for path in files]
    except OSError:  # gone again already: there is nothing that could still stand
        rows = []
    document = {"format": _FORMAT, "key": key, "files": rows}
    write_bytes(state, json.dumps(document).encode())


def current(manifest: Path, state: Path, key: str) -> bool:
    """Say whether the build of `key` stands: its manifest and all that it names, untouched since.

    One small file is read, and every file of the build is looked at once.
    """
    try:
        document = json.loads(state.read_bytes())
        if document["format"] != _FORMAT or document["key"] != key:
            return False
        folder = state.parent.resolve()
        stamps = {os.path.normpath(folder / name): stamp for name, *stamp in document["files"]}
        named = str(manifest.resolve()) in stamps
        return named and all(_stamp(Path(path)) == tuple(stamp) for path, stamp in stamps.items())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what tells a file from another version of itself: size, time in nanoseconds, inode."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
