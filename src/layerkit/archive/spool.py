"""A spool: files that come one after the other, packed until a run is written of them.

A run is in name order, and what comes from elsewhere is not. So each file is packed as it comes, and
waits in one file without a name: one of them at a time is in memory.
"""

from __future__ import annotations

import os
import zlib
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from layerkit.archive.member import Member
from layerkit.archive.pieces import compressed
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class Spool:
    """An open spool; use it in a `with` block that ends after the run is written.

    Like an open archive it can be the source of pieces: `fd` is what they are copied from.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file on the file system of `folder`; it is gone when the block or the process ends."""
        self.name = str(folder)
        self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by our own block
        self.fd = self._file.fileno()
        self._end = 0

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, name: str, content: bytes, *, executable: bool) -> Member:
        """Pack a file and return the member. Raises StorageError where no room is left."""
        method, body = compressed(content)
        offset, rest = self._end, memoryview(body)
        try:
            while rest:
                count = os.pwrite(self.fd, rest, self._end)
                self._end, rest = self._end + count, rest[count:]
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", where=self.name) from error
        return Member(
            name=name,
            method=method,
            crc=zlib.crc32(content),
            packed=len(body),
            size=len(content),
            offset=offset,
            executable=executable,
        )
