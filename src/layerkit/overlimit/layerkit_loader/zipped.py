"""Packages in a zip inside a layer or the function's code, as the older tools nest them."""

from __future__ import annotations

import os
import zlib
from functools import partial
from shutil import copyfileobj
from zipfile import BadZipFile, ZipFile

from .errors import BundleError
from .files import digest, on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from zipfile import ZipInfo

_CHUNK = 1 << 20


class Zipped:
    """One such zip, known by its content."""

    modules: Sequence[str] = ()
    folders: Sequence[str] = ()
    files: Sequence[tuple[str, int, bool]] = ()

    def __init__(self, path: str) -> None:
        """Open the zip at `path`."""
        self.package = os.path.basename(path)
        self._zip = ZipFile(path)
        entries = [entry for entry in self._zip.infolist() if not entry.filename.endswith("/")]
        self._entries = sorted(entries, key=lambda entry: -entry.file_size)
        known = repr([(entry.filename, entry.CRC, entry.file_size) for entry in self._entries])
        self.mark = f"{self.package}-{digest(known)}"
        self.room = sum(on_disk(entry.file_size) for entry in self._entries)

    def jobs(self, part: str) -> Iterator[Callable[[], None]]:
        """Yield what has to be done, in any order and at once, to have the files in `part`."""
        for entry in self._entries:
            yield partial(self._extract, entry, part)

    def _extract(self, entry: ZipInfo, part: str) -> None:
        inside = [name for name in entry.filename.split("/") if name not in ("", ".", "..")]
        path = os.path.join(part, *inside)
        os.makedirs(os.path.dirname(path), exist_ok=True)  # others may be making it, which extract() minds
        try:
            with self._zip.open(entry) as source, open(path, "wb") as file:
                copyfileobj(source, file, _CHUNK)
        except (BadZipFile, EOFError, zlib.error) as error:
            raise BundleError(f"{entry.filename} in {self._zip.filename} is damaged: {error}") from error
        if entry.external_attr >> 16 & 0o111:
            os.chmod(path, 0o755)  # noqa: S103 - a program
