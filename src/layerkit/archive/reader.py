"""A zip as it is read: strictly, once, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in an archive; sizes in bytes, `offset` that of its first data byte."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    executable: bool


@final
class Archive:
    """An open archive that passed every check but those that need inflating.

    `members` are its files in the order of their bytes; directory entries are dropped. `notes` are
    sentences about what was accepted and put right. Reading is safe from several threads at once.
    """

    path: Path
    name: str
    members: tuple[Member, ...]
    notes: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, *, name: str | None = None) -> Archive:
        """Open and check the archive at `path`; `name` is what errors call it (default: its file name).

        Raises ArchiveError (a WheelError) with all problems, StorageError where it cannot be read.
        """
        raise NotImplementedError

    def __enter__(self) -> Archive:
        """Return the archive itself."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; members can no longer be read."""
        raise NotImplementedError

    def read(self, member: Member) -> bytes:
        """Return the member's bytes, inflated, with size and CRC verified; ArchiveError if not."""
        raise NotImplementedError

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the member's bytes, inflated, in pieces of at most 1 MiB.

        Size and CRC are known to be right only when the iterator has ended without ArchiveError.
        """
        raise NotImplementedError

    def raw(self, member: Member) -> bytes:
        """Return the member's stream as it is stored, compressed."""
        raise NotImplementedError
