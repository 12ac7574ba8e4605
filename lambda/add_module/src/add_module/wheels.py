"""Wheels made ready for a layer where they lie: read from the index, checked, and nothing of them kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import Archive
from layerkit.archive.spool import Spool
from layerkit.errors import WheelError
from layerkit.fetch.credentials import Credentials
from layerkit.fetch.ranges import open_remote
from layerkit.project.specs import Slimming
from layerkit.recipe import apply
from layerkit.settings import Settings
from layerkit.slim import rules
from layerkit.wheel import Wheel
from layerkit.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack

    from layerkit.archive import Member, Piece
    from layerkit.lock import LockedPackage
    from layerkit.store import Store
    from layerkit.target import Layout, Target

LAYOUT: Layout = "versioned"
# Of the room in /tmp that is free, what is kept of all wheels may take the first part (the rest is for frames
# and the zip), and one wheel no more than the second, as long as it has large files that need not be kept.
_ALL, _ONE = 0.4, 0.1


class Opened(Struct, frozen=True, kw_only=True):
    """A wheel that is open, and its files as they will lie in the layer."""

    package: LockedPackage
    archive: Archive
    licence: str | None
    pieces: tuple[Piece, ...]

    @property
    def unzipped(self) -> int:
        """Return the bytes that Lambda counts."""
        return sum(size(piece) for piece in self.pieces)


def content(piece: Piece) -> bytes | None:
    """Return the content of a file that is new; None of one that a wheel has as it is."""
    if isinstance(piece.data, tuple):
        return None
    return piece.data if isinstance(piece.data, bytes) else piece.data()


def size(piece: Piece) -> int:
    """Return the bytes of a file, unzipped."""
    return piece.data[1].size if isinstance(piece.data, tuple) else len(content(piece) or b"")


def packed(piece: Piece) -> int:
    """Return the bytes that a file takes in the zip, about."""
    return piece.data[1].packed if isinstance(piece.data, tuple) else len(content(piece) or b"")


class _Streams(Spool):
    """What keeps every stream as it came: a better one would have to lie in /tmp until the zip is written."""

    def repack(self, member: Member, content: bytes, most: int) -> Member | None:  # noqa: ARG002 - as the parent
        """Return None: nothing is compressed anew."""
        return None


class Wheels:
    """The wheels of one invocation, open until its end."""

    def __init__(self, store: Store, target: Target, folder: Path, stack: ExitStack) -> None:
        """Open nothing yet; what is kept of wheels lies in `folder`."""
        self._store, self._target, self._folder, self._stack = store, target, folder, stack
        self._credentials = Credentials.load()
        free = shutil.disk_usage(folder).free
        self._room, self._share = int(free * _ALL), int(free * _ONE)
        self._settings = Settings(layout=LAYOUT, rules=rules(Slimming(), None))
        self._workshop = stack.enter_context(Workshop(threads=1))
        self._spool = stack.enter_context(_Streams(folder))

    def open(self, package: LockedPackage) -> Opened:
        """Open a wheel, check its files against its RECORD, and place them as `layerkit build` would.

        Raises WheelError, NetworkError, StorageError.
        """
        archive = self._stack.enter_context(self._archive(package))
        wheel = Wheel.read(archive, package.wheel.sha256)
        outcome = apply(wheel, archive, self._target, self._settings, self._workshop, self._spool)
        return Opened(
            package=package, archive=archive, licence=wheel.metadata.licence, pieces=tuple(outcome.pieces)
        )

    def _archive(self, package: LockedPackage) -> Archive:
        """Open a wheel: of this machine, of the store, or on the index."""
        ref = package.wheel
        if ref.path is not None:
            return Archive.open(Path(ref.path), name=ref.filename)
        if kept := self._store.find("wheels", ref.sha256, ".whl"):
            return Archive.open(kept, name=ref.filename)
        share = min(self._share, self._room)
        source = open_remote(ref, self._credentials, self._folder, share, self._room)
        self._room = max(0, self._room - source.kept)
        return Archive.of_source(source, ref.filename)


def together(opened: Iterable[Opened]) -> list[Piece]:
    """Return the files of all wheels, one for each path.

    Raises WheelError where two packages bring different files under one path.
    """
    found: dict[str, tuple[Piece, str]] = {}
    for one in opened:
        for piece in one.pieces:
            before = found.setdefault(piece.name, (piece, one.package.name))
            if before[0] is not piece and not _same(before[0], piece):
                what = f"{before[1]} and {one.package.name} bring different files under this path"
                raise WheelError(what, where=piece.name, fix="make a layer of each")
    return [piece for piece, _ in found.values()]


def _same(one: Piece, other: Piece) -> bool:
    if isinstance(one.data, tuple) and isinstance(other.data, tuple):
        return (one.data[1].crc, one.data[1].size) == (other.data[1].crc, other.data[1].size)
    return one.data == other.data
