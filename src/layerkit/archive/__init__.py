"""The only place that knows the zip format: a strict reader and a canonical writer.

`Archive` reads a zip that anybody may have forged. `write_run` turns pieces (members taken over as
they are, and new bytes) into a *run*: finished zip members back to back, ready to be copied. `compose`
joins runs into a layer without inflating anything; `write_zip` writes a small zip of new bytes.
"""

from layerkit.archive.member import Member
from layerkit.archive.names import fold
from layerkit.archive.pieces import Piece
from layerkit.archive.problems import ArchiveError, Problem
from layerkit.archive.reader import Archive
from layerkit.archive.run import Entry, Run, write_run
from layerkit.archive.zips import Composed, compose, write_zip

__all__ = [
    "Archive",
    "ArchiveError",
    "Composed",
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
