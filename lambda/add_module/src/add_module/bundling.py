"""Layers above Lambda's limit: large files in frames, in the layer or in S3, and the loader for them.

As `layerkit build` does it with over-limit = "bundle", but from wheels that nobody has here: files are
inflated, framed, and written or sent while they come from the index.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from add_module.choosing import choose_one
from add_module.failures import NotFoundError
from add_module.wheels import LAYOUT, content, packed, size
from layerkit.archive import Archive, Piece
from layerkit.archive.layout import STORED
from layerkit.archive.member import Member
from layerkit.errors import LimitExceededError
from layerkit.lock.decoder import built_in, decoder
from layerkit.overlimit import places
from layerkit.overlimit.choice import File, Need, choose
from layerkit.overlimit.fit import ephemeral_storage
from layerkit.overlimit.frames import write_frames
from layerkit.overlimit.framing import SUFFIX, index_of, programs
from layerkit.overlimit.loader_wheel import loader
from layerkit.overlimit.remaking import Added, record_of
from layerkit.plan import most_unzipped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from add_module.event import Request
    from add_module.wheels import Opened, Wheels
    from layerkit.overlimit.choice import Choice
    from layerkit.overlimit.codec import Codec
    from layerkit.overlimit.frames import Blob
    from layerkit.project import Project
    from layerkit.store import Store

    # Has frames written to a path, and sends what is written there to S3 under a name.
    Send = Callable[[str, Callable[[Path], Blob]], Blob]

# What frames take of what deflate takes: the first mostly, hardly ever more than the second. What was once
# measured is taken for a little more.
_LIKELY, _SAFE, _MORE = 0.75, 0.9, 1.03
_SPARE = 2 << 20  # bytes for indexes
_CODE = 8 << 20  # bytes left for the code of functions, where that can be had


class Bundle(Struct, frozen=True, kw_only=True):
    """The wheels of a layer that fits now. `unpacked` bytes of it go to /tmp, `remote` names frames in S3."""

    opened: tuple[Opened, ...]
    unpacked: int
    remote: tuple[str, ...]

    @property
    def megabytes(self) -> int:
        """Return the ephemeral storage that a function with the layer needs, as Lambda counts it."""
        return ephemeral_storage(self.unpacked)


class Bundler:
    """Makes one bundle."""

    def __init__(
        self, request: Request, project: Project, store: Store, wheels: Wheels, folder: Path, stack: ExitStack
    ) -> None:
        """Keep what every step needs; frames for the layer lie in `folder`."""
        self._request, self._project, self._store, self._wheels = request, project, store, wheels
        self._folder, self._stack = folder, stack
        self._prefix = f"{request.target.site_packages(LAYOUT)}/"
        self._files_of_try = ExitStack()
        self._unpacked, self._took = 0, 0.0
        self._remote: list[str] = []
        self._sizes = [0, 0]  # of the files of a try: deflated, and in frames

    def bundle(self, opened: Sequence[Opened], send: Send | None) -> Bundle:
        """Return wheels in whose place these were that do not fit. Without `send` nothing can lie in S3.

        Tried are frames in the layer alone, then some of them in S3. Raises LimitExceededError where they do
        not fit even so.
        """
        tools, codec = self._tools()
        before = {one.package.name: one for one in (*opened, *tools)}
        over = 0
        for sender in (None, None, send):
            # What the first try took of what deflate takes is known to the second.
            better = _SAFE if sender else min(_SAFE, self._took * _MORE) if self._took else _LIKELY
            choice = self._choice(opened, before, better, remote=sender is not None)
            over = choice.over.get("layer", 0) - _CODE
            if over <= 0:
                every = self._try(before, choice, codec, sender)
                over = sum(one.unzipped for one in every.values()) - most_unzipped()
                if over <= 0:
                    self._stack.enter_context(self._files_of_try.pop_all())
                    frames = tuple(self._remote)
                    return Bundle(opened=tuple(every.values()), unpacked=self._unpacked, remote=frames)
        total = sum(one.unzipped for one in before.values())
        what = f"{total:,} bytes unzipped, {over:,} more than a layer takes even in frames"
        raise LimitExceededError(what, where="the layer", fix=None if send else "set LAYER_BUCKET")

    def _choice(
        self, opened: Sequence[Opened], every: Mapping[str, Opened], better: float, *, remote: bool
    ) -> Choice:
        """Return which files go into frames, if these take `better` of what they take now."""
        total = sum(one.unzipped for one in every.values()) + _SPARE + _CODE
        need = Need(packages=frozenset(one.package.name for one in opened), unzipped=total)
        files = {one.package.name: list(self._files(one, better)) for one in opened}
        return choose({"layer": need}, files, most_unzipped(), remote=remote)

    def _try(
        self, before: Mapping[str, Opened], choice: Choice, codec: Codec, send: Send | None
    ) -> dict[str, Opened]:
        """Return all wheels, with frames in place of the files that were chosen."""
        self._files_of_try.close()  # those of an earlier try take room no more
        self._unpacked, self._remote, self._sizes = 0, [], [0, 0]
        every = dict(before)
        for name, framed in choice.framed.items():
            apart = choice.remote.get(name, frozenset())
            every[name] = self._framed(every[name], framed, apart, codec, send)
        self._took = self._sizes[1] / max(1, self._sizes[0])
        return every

    def _tools(self) -> tuple[list[Opened], Codec]:
        """Return the loader, and what it decodes zstd with; zlib where the target has no such package."""
        target, tools = self._request.target, []
        name = decoder(self._project, target)
        codec: Codec = "zstd" if built_in(target) else "zlib"
        if name is not None:
            try:
                tools.append(choose_one(name, self._project, self._request, self._store))
                codec = "zstd"
            except NotFoundError:
                name = None
        tools.append(loader(self._project.over_limit, name, target, LAYOUT, self._store))
        return [self._wheels.open(one) for one in tools], codec

    def _files(self, opened: Opened, better: float) -> list[File]:
        """Return the files that may go into frames."""
        names = [(piece.name.removeprefix(self._prefix), piece) for piece in opened.pieces]
        return [
            File(name, size(piece), int(packed(piece) * better))
            for name, piece in names
            if name != piece.name and places.may_move(name) and isinstance(piece.data, tuple)
        ]

    def _framed(
        self, opened: Opened, names: frozenset[str], apart: frozenset[str], codec: Codec, send: Send | None
    ) -> Opened:
        """Return a wheel with these files in frames, those of `apart` in S3."""
        mine = [
            (piece.name.removeprefix(self._prefix), piece)
            for piece in opened.pieces
            if piece.name.startswith(self._prefix)
        ]
        inside = {name: _member(piece) for name, piece in mine}
        kept = {name: inside[name] for name, piece in mine if isinstance(piece.data, tuple)}
        moved = names.union(programs(opened.archive, kept))
        added: list[Added] = []
        for chosen in (moved - apart, names & apart):
            if chosen:
                there = send if chosen <= apart else None
                added += self._frames(opened, inside, moved, sorted(chosen), codec, there)
        return replace(opened, pieces=tuple(self._pieces(opened, moved, added)))

    def _frames(
        self,
        opened: Opened,
        inside: dict[str, Member],
        moved: frozenset[str],
        names: list[str],
        codec: Codec,
        send: Send | None,
    ) -> list[Added]:
        """Write files in frames; return their index, and their frames where the layer has these."""
        package = opened.package.name
        mark = hashlib.sha256(json.dumps([opened.package.wheel.sha256, codec, names]).encode()).hexdigest()
        file = f"{package}-{mark[:16]}{SUFFIX}"

        def write(path: Path) -> Blob:
            return write_frames(path, opened.archive, (inside[name] for name in names), codec)

        blob = send(file, write) if send else write(self._folder / file)
        self._sizes[0] += sum(inside[name].packed for name in names)
        self._sizes[1] += blob.size
        index = index_of(package, inside, moved, names, blob, file=file, codec=codec, remote=send is not None)
        self._unpacked += json.loads(index)["room"]
        digest = hashlib.sha256(index)
        own = f"{places.FOLDER}/{package}-{digest.hexdigest()[:16]}.json"
        added = [Added(name=own, size=len(index), digest=digest.digest(), data=index)]
        if send:
            self._remote.append(file)
            return added
        archive = self._files_of_try.enter_context(Archive.of_file(blob.path, crc=blob.crc))
        blob.path.unlink()  # gone when it is closed
        data = (archive, archive.members[0])
        frames = Added(
            name=f"{places.FOLDER}/{file}", size=blob.size, digest=bytes.fromhex(blob.sha256), data=data
        )
        return [*added, frames]

    def _pieces(self, opened: Opened, moved: frozenset[str], added: list[Added]) -> list[Piece]:
        """Return the files that stay, those that came, and a RECORD that says so."""
        gone = {self._prefix + name for name in moved}
        pieces = [Piece(name=self._prefix + one.name, data=one.data) for one in added]
        for piece in opened.pieces:
            record = content(piece) if piece.name.endswith(".dist-info/RECORD") else None
            if record is not None and piece.name.startswith(self._prefix):
                text = record_of(record.decode(), moved, added)
                pieces.append(Piece(name=piece.name, data=text.encode()))
            elif piece.name not in gone:
                pieces.append(piece)
        return pieces


def _member(piece: Piece) -> Member:
    """Return a file as a member of its archive, with the mode it will have; new content has its size."""
    if isinstance(piece.data, tuple):
        return replace(piece.data[1], executable=piece.executable)
    length = size(piece)
    return Member(
        name=piece.name,
        method=STORED,
        crc=0,
        packed=length,
        size=length,
        offset=0,
        executable=piece.executable,
    )
