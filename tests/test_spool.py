from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from layerkit.archive import Archive, Piece, Run, write_run, write_zip
from layerkit.archive.spool import Spool
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

NOISE = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(50_000))
CONTENTS = {
    "empty": b"",
    "small": b"a",
    "text": b"some text " * 5000,
    "noise": NOISE[:300_000],
    "both": NOISE + b"\0" * 2_000_000,
}


def test_what_is_spooled_is_written_as_bytes_are(tmp_path: Path) -> None:
    plain = [Piece(name=name, data=content, executable=name == "text") for name, content in CONTENTS.items()]
    write_run(tmp_path / "plain", plain, b"info")
    with Spool(tmp_path) as spool:
        members = [
            spool.add(name, content, executable=name == "text")
            for name, content in reversed(CONTENTS.items())
        ]
        write_run(tmp_path / "spooled", [Piece.copy(spool, member) for member in members], b"info")
    assert (tmp_path / "spooled").read_bytes() == (tmp_path / "plain").read_bytes()
    assert Run.open(tmp_path / "spooled").unzipped == sum(map(len, CONTENTS.values()))
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "spooled"}


def test_what_is_spooled_comes_back(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        members = [spool.add(name, content, executable=False) for name, content in CONTENTS.items()]
        write_zip(tmp_path / "a.zip", [Piece.copy(spool, member) for member in reversed(members)])
    with Archive.open(tmp_path / "a.zip") as archive:
        assert {member.name: archive.read(member) for member in archive.members} == CONTENTS


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with Spool(tmp_path) as spool:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match="No space left"):
            spool.add("a", b"content", executable=False)
