from __future__ import annotations

import hashlib
import itertools
import zlib
from typing import TYPE_CHECKING

import pytest

from bundles import blob
from layerkit.archive import Archive
from layerkit.overlimit import frames
from layerkit.overlimit.codec import _zstd, compressor
from layerkit.overlimit.frames import write_frames
from zips import zipped

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.overlimit.codec import Codec

CONTENT = {"a": blob(30_000, 1), "b": b"tiny", "c": blob(12_345, 2)}
WHOLE = b"".join(CONTENT.values())
zstd = _zstd()


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "FRAME", 10_000)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(zipped(tmp_path / "a.zip", CONTENT))


@pytest.mark.parametrize("codec", ["zstd", "zlib"])
def test_frames_hold_the_files_end_to_end_and_each_can_be_inflated_alone(
    tmp_path: Path, archive: Archive, codec: Codec
) -> None:
    with archive:
        made = write_frames(tmp_path / "frames", archive, archive.members, codec)
    data = made.path.read_bytes()
    assert (made.size, made.sha256, made.crc) == (
        len(data),
        hashlib.sha256(data).hexdigest(),
        zlib.crc32(data),
    )
    inflate = zstd.decompress if codec == "zstd" else zlib.decompress
    ends = [0, *itertools.accumulate(length for length, _ in made.frames)]
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert [hashlib.sha256(piece).hexdigest() for piece in pieces] == [digest for _, digest in made.frames]
    contents = [inflate(piece) for piece in pieces]
    assert b"".join(contents) == WHOLE
    assert [len(content) for content in contents[:-1]] == [10_000] * (len(contents) - 1)


def test_the_same_files_give_the_same_frames_on_any_number_of_processors(
    tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = set()
    with archive:
        for count in (1, 2, 7):
            monkeypatch.setattr(frames, "cores", lambda count=count: count)
            digests.add(write_frames(tmp_path / "frames", archive, archive.members, "zstd").sha256)
    assert len(digests) == 1


@pytest.mark.parametrize("codec", ["zstd", "zlib"])
def test_a_turned_byte_does_not_pass_the_checksum(codec: Codec) -> None:
    frame = bytearray(compressor(codec)(WHOLE))
    frame[-1] ^= 1
    with pytest.raises(zstd.ZstdError if codec == "zstd" else zlib.error):
        (zstd if codec == "zstd" else zlib).decompress(bytes(frame))
