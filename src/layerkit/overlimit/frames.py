"""Frames: files laid end to end, cut into stretches, each compressed by itself."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.cores import cores
from layerkit.overlimit.codec import FRAME, compressor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from layerkit.archive import Archive, Member
    from layerkit.overlimit.codec import Codec


class Blob(Struct, frozen=True, kw_only=True):
    """A file of frames on disk: length and sha256 (hex) of each, and size, sha256 and CRC-32 of all."""

    path: Path
    frames: tuple[tuple[int, str], ...]
    size: int
    sha256: str
    crc: int


def write_frames(path: Path, archive: Archive, members: Iterable[Member], codec: Codec) -> Blob:
    """Compress the content of the members, in the order given, into the file `path`.

    The same members give the same bytes, given the same library, on any number of processors. At most
    two frames for each of these are in memory.
    """
    frames: list[tuple[int, str]] = []
    whole, crc = hashlib.sha256(), 0
    with path.open("wb") as file:
        for frame in _in_order(_stretches(archive, members), codec):
            file.write(frame)
            whole.update(frame)
            crc = zlib.crc32(frame, crc)
            frames.append((len(frame), hashlib.sha256(frame).hexdigest()))
    size = sum(length for length, _ in frames)
    return Blob(path=path, frames=tuple(frames), size=size, sha256=whole.hexdigest(), crc=crc)


def _in_order(stretches: Iterable[bytes], codec: Codec) -> Iterator[bytes]:
    """Yield the frames of the stretches, made on all processors."""
    compress, processors = compressor(codec), cores()
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(max_workers=processors) as pool:
        for stretch in stretches:
            waiting.append(pool.submit(compress, stretch))
            if len(waiting) > processors:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _stretches(archive: Archive, members: Iterable[Member]) -> Iterator[bytes]:
    """Yield the content of all members, verified, in stretches of one size, the last one shorter."""
    gathered = bytearray()
    for member in members:
        for chunk in archive.chunks(member):
            gathered += chunk
            while len(gathered) >= FRAME:
                yield bytes(gathered[:FRAME])
                del gathered[:FRAME]
    if gathered:
        yield bytes(gathered)
