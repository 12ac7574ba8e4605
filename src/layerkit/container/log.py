"""What a program in a container prints: all of it in a file, the last lines at hand, no secrets in either."""

from __future__ import annotations

import codecs
from collections import deque
from typing import IO, TYPE_CHECKING

from layerkit.errors import StorageError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from typing_extensions import Self

LAST_LINES = 25
_LONGEST_LINE = 1 << 16
_HIDDEN = "****"


class Log:
    """A log file that is open for appending; use it in a `with` block.

    `secrets` are texts that never reach the file. Raises StorageError when it cannot be written.
    """

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        """Name the file and what has to stay out of it."""
        self.path = path
        self._secrets = [secret for secret in secrets if secret]
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open_line = ""
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Open the file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._error(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left of the last line, and close the file."""
        if self._file is None:
            return
        try:
            with self._file:
                self._lines([self._open_line + self._decoder.decode(b"", final=True)])
        except OSError as error:
            raise self._error(error) from error

    def write(self, chunk: bytes) -> None:
        """Take what was printed, in pieces of any length; whole lines are written."""
        *lines, self._open_line = (self._open_line + self._decoder.decode(chunk)).split("\n")
        if len(self._open_line) > _LONGEST_LINE:
            lines.append(self._open_line)
            self._open_line = ""
        try:
            self._lines(lines)
        except OSError as error:
            raise self._error(error) from error

    def say(self, text: str) -> None:
        """Write a line of our own."""
        self.write(f"{text}\n".encode())

    def last(self) -> str:
        """Return the last lines, indented as errors show them."""
        return "\n".join(f"  {line}" for line in self._last)

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            # Of a bar that was drawn over and over, the end.
            shown = redact(line.rstrip("\r").rpartition("\r")[2]).rstrip()
            for secret in self._secrets:
                shown = shown.replace(secret, _HIDDEN)
            if shown and self._file is not None:
                self._file.write(f"{shown}\n")
                self._last.append(shown)
        if self._file is not None:
            self._file.flush()

    def _error(self, error: OSError) -> StorageError:
        return StorageError(f"the log cannot be written: {error.strerror}", where=str(self.path))
