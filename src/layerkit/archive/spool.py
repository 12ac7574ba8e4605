"""A spool: files that come in any order, packed until a run is written of them.

A run is in name order, and what comes from elsewhere or from several threads is not; nor can RECORD be
written before all others are known. So each file is packed as it comes, and waits in one file without
a name: no more is in memory than is being worked on.
"""

from __future__ import annotations

import os
import zlib
from tempfile import TemporaryFile
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.archive.member import Member
from layerkit.archive.pieces import compressed
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class Spool:
    """An open spool; use it in a `with` block that ends after the run is written. Threads may share it.

    Like an open archive it can be the source of pieces: `fd` is what they are copied from.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file on the file system of `folder`; it is gone when the block or the process ends."""
        self.name = str(folder)
        self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by our own block
        self.fd = self._file.fileno()
        self._end = 0
        self._lock = Lock()

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, name: str, content: bytes | bytearray, *, executable: bool = False) -> Member:
        """Pack a file and return the member. Raises StorageError where no room is left."""
        method, body = compressed(content)
        return Member(
            name=name,
            method=method,
            crc=zlib.crc32(content),
            packed=len(body),
            size=len(content),
            offset=self._append(body),
            executable=executable,
        )

    def repack(self, member: Member, content: bytes, most: int) -> Member | None:
        """Pack the content of a member once more; None where that takes more than `most` bytes."""
        method, body = compressed(content)
        if len(body) > most:
            return None
        return replace(member, method=method, packed=len(body), offset=self._append(body))

    def _append(self, body: bytes | bytearray) -> int:
        """Write a stream behind the others, and return where it begins."""
        with self._lock:
            offset, self._end = self._end, self._end + len(body)
        at, rest = offset, memoryview(body)
        try:
            while rest:
                count = os.pwrite(self.fd, rest, at)
                at, rest = at + count, rest[count:]
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", where=self.name) from error
        return offset
