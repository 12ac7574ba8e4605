"""Wheels read where they lie: what is asked for, what stays on disk, and that nothing is different."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from factory import make_wheel
from layerkit.archive import Archive
from layerkit.archive.spool import Spool
from layerkit.errors import NetworkError, StorageError, WheelError
from layerkit.fetch.credentials import Credentials
from layerkit.fetch.ranges import RemoteWheel, open_remote
from layerkit.lock import WheelRef
from layerkit.recipe import apply
from layerkit.settings import Settings
from layerkit.target import target
from layerkit.wheel import Wheel
from layerkit.workshop import Workshop
from loopback import Fault, Loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20


class Served(Struct, frozen=True, kw_only=True):
    """A wheel of three large files and some small ones, and the server that has it."""

    server: Loopback
    path: Path
    ref: WheelRef
    folder: Path

    def open(self, room: int, most: int | None = None) -> RemoteWheel:
        return open_remote(self.ref, Credentials.load(environment=dict(os.environ)), self.folder, room, most)

    def spans(self) -> list[str]:
        return [one.headers.get("range", "") for one in self.server.requests if one.method == "GET"]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    chance = random.Random(7)  # noqa: S311 - the same bytes in every run
    files: dict[str, str | bytes] = {
        f"big/{name}.bin": chance.randbytes(3 * MIB + number) for number, name in enumerate("abc")
    }
    files |= {f"big/small{number}.py": f"N = {number}\n" for number in range(50)}
    made = make_wheel(tmp_path / "wheels", "big", "1.0", files=files)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("layerkit.fetch.download._FIRST_WAIT", 0.001)
    with Loopback(tmp_path / "wheels") as server:
        server.ranges = True
        ref = WheelRef(filename=made.filename, sha256=made.sha256, url=server.address(made.filename))
        yield Served(server=server, path=tmp_path / "wheels" / made.filename, ref=ref, folder=folder)


def contents(archive: Archive) -> dict[str, bytes]:
    return {member.name: archive.read(member) for member in archive.members}


@pytest.mark.parametrize("room", [20 * MIB, 8 * MIB, 4 * MIB, MIB])
def test_what_is_read_is_what_is_there_however_little_is_kept(served: Served, room: int) -> None:
    wheel = served.open(room)
    size = served.path.stat().st_size
    assert wheel.size == size
    assert wheel.kept <= min(room, size)
    assert os.fstat(wheel._fd).st_blocks * 512 <= room + MIB
    with Archive.open(served.path) as local, Archive.of_source(wheel, served.ref.filename) as remote:
        assert remote.members == local.members
        assert contents(remote) == contents(local)
    assert list(served.folder.iterdir()) == []


def test_a_wheel_that_fits_is_asked_for_once(served: Served) -> None:
    wheel = served.open(20 * MIB)
    assert served.spans() == ["bytes=-262144", "bytes=0-"]
    wheel.pread(wheel.size, 0)
    assert len(served.spans()) == 2
    wheel.close()


def test_a_large_file_is_one_request_however_it_is_read(served: Served) -> None:
    with Archive.of_source(served.open(MIB), served.ref.filename) as archive:
        before = len(served.spans())
        for member in archive.members:
            for _ in archive.chunks(member):
                pass
        assert len(served.spans()) - before == 3


def test_any_stretch_can_be_had(served: Served) -> None:
    content, wheel = served.path.read_bytes(), served.open(4 * MIB)
    chance = random.Random(1)  # noqa: S311 - the same stretches in every run
    for _ in range(60):
        start, length = chance.randrange(len(content)), chance.choice([1, 30, 5000, 2 * MIB])
        assert wheel.pread(length, start) == content[start : start + length]
    wheel.close()


def test_a_recipe_gives_the_same_from_afar(served: Served) -> None:
    """What goes into a layer does not depend on where the wheel is."""
    name, digest = served.ref.filename, served.ref.sha256
    with (
        Archive.open(served.path) as local,
        Archive.of_source(served.open(MIB), name) as remote,
        Spool(served.folder) as spool,
        Workshop(threads=1) as workshop,
    ):
        outcomes = [
            apply(Wheel.read(one, digest), one, target("py312"), Settings(), workshop, spool)
            for one in (local, remote)
        ]
    assert outcomes[0].recorded == outcomes[1].recorded
    assert [piece.name for piece in outcomes[0].pieces] == [piece.name for piece in outcomes[1].pieces]


def test_connections_that_break_are_taken_up_where_they_broke(served: Served) -> None:
    name = served.ref.filename
    served.server.script(name, Fault(status=503), Fault(reset_after=1000), Fault(reset_after=5 * MIB))
    wheel = served.open(MIB)
    served.server.script(name, Fault(reset_after=MIB), Fault(status=429, headers={"Retry-After": "0"}))
    assert wheel.pread(wheel.size, 0) == served.path.read_bytes()
    wheel.close()


def test_a_server_that_never_gives_it(served: Served) -> None:
    served.server.script(served.ref.filename, *[Fault(status=503)] * 10)
    with pytest.raises(NetworkError, match="could not be downloaded in 4 attempts"):
        served.open(MIB)
    served.server.script(served.ref.filename, *[Fault()] * 0)


def test_another_file_under_the_name_is_refused(served: Served) -> None:
    served.path.write_bytes(served.path.read_bytes() + b"\0")
    for room in (20 * MIB, 4 * MIB):
        with pytest.raises(WheelError, match="this is not the file that was locked"):
            served.open(room)


def test_without_ranges_a_wheel_has_to_fit(served: Served) -> None:
    served.server.ranges = False
    wheel = served.open(20 * MIB)
    assert wheel.pread(wheel.size, 0) == served.path.read_bytes()
    wheel.close()
    assert len(served.spans()) == 1
    with pytest.raises(StorageError, match="its server gives no ranges"):
        served.open(4 * MIB)
    wheel = served.open(4 * MIB, 20 * MIB)
    assert wheel.kept == wheel.size
    wheel.close()


def test_small_files_have_to_fit(served: Served) -> None:
    with pytest.raises(StorageError, match="more than there is room for"):
        served.open(1000)
    wheel = served.open(1000, 2 * MIB)
    assert 1000 < wheel.kept < 2 * MIB
    wheel.close()


def test_what_is_no_wheel(served: Served) -> None:
    served.path.write_bytes(bytes(6 * MIB))
    with pytest.raises(WheelError, match="is no zip that can be read"):
        served.open(4 * MIB)
    served.path.unlink()
    with pytest.raises(NetworkError, match="is not there any more"):
        served.open(4 * MIB)
