"""The only place that knows the zip format: a strict reader and a canonical writer.

`Archive` reads a zip that anybody may have forged. `write_run` turns pieces (members taken over as
they are, and new bytes) into a *run*: finished zip members back to back, ready to be copied. `compose`
joins runs into a layer without inflating anything; `write_zip` writes a small zip of new bytes.

A build whose wheels are all prepared opens no foreign archive, so the reader is imported when first
asked for, which saves such a build some 4 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.archive.names import fold
from layerkit.archive.pieces import Piece
from layerkit.archive.problems import ArchiveError, Problem
from layerkit.archive.run import DamagedRunError, Entry, Run, write_run
from layerkit.archive.zips import Composed, compose, write_zip

if TYPE_CHECKING:
    from layerkit.archive.member import Member
    from layerkit.archive.reader import Archive

__all__ = [
    "Archive",
    "ArchiveError",
    "Composed",
    "DamagedRunError",
    "Entry",
    "Member",
    "Piece",
    "Problem",
    "Run",
    "compose",
    "fold",
    "write_run",
    "write_zip",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the reader's two names when they are first used (PEP 562)."""
        if name == "Archive":
            from layerkit.archive.reader import Archive

            return Archive
        if name == "Member":
            from layerkit.archive.member import Member

            return Member
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
