"""A run: finished zip members back to back, with the records that a central directory needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.archive.reader import Archive, Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file to be written: new bytes, or the stream of a member taken over as it is.

    `data` is the new content, or the open archive and the member in it that holds the content.
    """

    name: str
    data: bytes | tuple[Archive, Member]
    executable: bool = False

    @classmethod
    def copy(cls, archive: Archive, member: Member, name: str | None = None) -> Piece:
        """Return the piece that keeps `member` unchanged, under its own or another name.

        The archive must stay open until the piece is written.
        """
        raise NotImplementedError


class Entry(NamedTuple):
    """Where a member lies in a run: `length` counts its local header; `crc` and `size` are unpacked."""

    name: str
    offset: int
    length: int
    crc: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The tail of a run file; `zipped` bytes of members, `unzipped` their content, `info` the caller's."""

    path: Path
    zipped: int
    unzipped: int
    entries: int
    central: bytes
    info: bytes

    @classmethod
    def open(cls, path: Path) -> Run:
        """Read the tail of the run file at `path`; WheelError when it is damaged or no run at all."""
        raise NotImplementedError

    def names(self) -> list[Entry]:
        """Return the members in name order, parsed once."""
        raise NotImplementedError


def write_run(path: Path, pieces: Iterable[Piece], info: bytes) -> None:
    """Write the run file of `pieces`, in name order, to `path`, which the caller publishes.

    Raises WheelError for names that may not be, are there twice, or are one after case folding.
    """
    raise NotImplementedError
