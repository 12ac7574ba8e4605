"""Where an archive's bytes come from: a file that is open here, or anything that gives stretches of one."""

from __future__ import annotations

import os
from typing import Protocol


class Source(Protocol):
    """A file that need not lie on this machine."""

    @property
    def size(self) -> int:
        """Return the file's bytes."""

    @property
    def sha256(self) -> str:
        """Return the digest of all of it, in hex, which was proved when it was opened."""

    def pread(self, length: int, offset: int) -> bytes:
        """Return `length` bytes from `offset` on, fewer only at the end. Raises OSError, LayerkitError."""

    def close(self) -> None:
        """Let go of it."""


Handle = int | Source


def pread(handle: Handle, length: int, offset: int) -> bytes:
    """Return bytes of an open file, or of a source."""
    return os.pread(handle, length, offset) if isinstance(handle, int) else handle.pread(length, offset)


def close(handle: Handle) -> None:
    """Close an open file, or a source."""
    os.close(handle) if isinstance(handle, int) else handle.close()
