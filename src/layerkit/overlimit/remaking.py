"""A prepared wheel remade: some of its files gone from their places, others come.

The result is a prepared wheel again, made once, and found by a key like the one that it comes from.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from layerkit import prepare as preparing
from layerkit.archive import Archive, Piece, Run, write_run
from layerkit.errors import StorageError
from layerkit.record import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from layerkit.archive import Member
    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

_FORMAT = 2
_BLOCK = 4096  # what a file, a folder or a long link takes in /tmp is rounded up to it


class Source(Struct, frozen=True, kw_only=True):
    """An open prepared wheel: its members by their names below `site`, and a folder to write in."""

    wheel: PreparedWheel
    archive: Archive
    inside: Mapping[str, Member]
    folder: Path
    stack: ExitStack


class Added(Struct, frozen=True, kw_only=True):
    """A new file, below the folder of the modules; `digest` is its sha256."""

    name: str
    size: int
    digest: bytes
    data: bytes | tuple[Archive, Member]


class Change(Struct, kw_only=True):
    """What becomes of a wheel: the names that leave their places, the files that come.

    `unpacked` is how many bytes of /tmp the files will take that left; `remote` are the frames that no
    layer holds, as (file name, sha256, size).
    """

    moved: frozenset[str]
    added: list[Added] = field(default_factory=list)
    unpacked: int = 0
    remote: list[tuple[str, str, int]] = field(default_factory=list)


def remade(
    how: Sequence[object], wheel: PreparedWheel, site: str, store: Store, make: Callable[[Source], Change]
) -> PreparedWheel:
    """Return what `make` makes of a prepared wheel, from the store where `how` was done to it before.

    Raises WheelError where the wheel is damaged.
    """
    said = json.dumps([_FORMAT, wheel.key, site, *how])
    key = hashlib.sha256(said.encode()).hexdigest()
    if ready := preparing.load(store, key):
        return ready
    with store.lock(preparing.KIND, key):
        if ready := preparing.load(store, key):
            return ready
        with store.publish(preparing.KIND, key, preparing.SUFFIX) as path:
            _make(path, wheel, site, make)
        if ready := preparing.load(store, key):
            return ready
    where = str(store.path(preparing.KIND, key, preparing.SUFFIX))
    raise StorageError("a prepared wheel was gone or damaged right after it was written", where=where)


def taken(source: Source, name: str, path: Path, sha256: str, crc: int) -> Added:
    """Return a file on disk as one to be added as it is."""
    archive = source.stack.enter_context(Archive.of_file(path, crc=crc))
    (member,) = archive.members
    return Added(name=name, size=member.size, digest=bytes.fromhex(sha256), data=(archive, member))


def room(sizes: Iterable[int], others: int = 0) -> int:
    """Return the bytes of /tmp that files of these sizes and so many folders and links take."""
    return (sum(-(-size // _BLOCK) for size in sizes) + others) * _BLOCK


def _make(path: Path, wheel: PreparedWheel, site: str, make: Callable[[Source], Change]) -> None:
    """Write the remade wheel to `path`."""
    run, prefix = Run.open(wheel.path), f"{site}/"
    with ExitStack() as stack:
        archive = stack.enter_context(Archive.of_run(run))
        names = [member for member in archive.members if member.name.startswith(prefix)]
        source = Source(
            wheel=wheel,
            archive=archive,
            inside={member.name.removeprefix(prefix): member for member in names},
            folder=Path(stack.enter_context(TemporaryDirectory(prefix="layerkit-"))),
            stack=stack,
        )
        change = make(source)
        info: dict[str, Any] = json.loads(run.info)
        info |= {"unpacked": change.unpacked, "remote": change.remote}
        write_run(path, _pieces(source, change, prefix), json.dumps(info, sort_keys=True).encode())


def _pieces(source: Source, change: Change, prefix: str) -> list[Piece]:
    """Return all files of the remade wheel, RECORD among them, which says where they went."""
    gone = {prefix + name for name in change.moved}
    pieces = [Piece(name=prefix + one.name, data=one.data) for one in change.added]
    for member in source.archive.members:
        if member.name.startswith(prefix) and member.name.endswith(".dist-info/RECORD"):
            text = record_of(source.archive.read(member).decode(), change.moved, change.added)
            pieces.append(Piece(name=member.name, data=text.encode()))
        elif member.name not in gone:
            pieces.append(Piece.copy(source.archive, member))
    return pieces


def record_of(text: str, moved: Collection[str], added: Iterable[Added]) -> str:
    """Return RECORD without the files that moved, and with those that came; its own row stays last."""
    *rows, own = csv.reader(io.StringIO(text, newline=""))
    rows = [row for row in rows if row[0] not in moved]
    rows += [[one.name, f"sha256={encode(one.digest)}", str(one.size)] for one in added]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*sorted(rows), own])
    return out.getvalue()
