"""Rooms on a real engine: what goes in and out, what stays secret, what they may reach."""

from __future__ import annotations

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from layerkit.container.engine import OWNER, Engine, connect
from layerkit.container.images import Image, ready
from layerkit.container.log import Log
from layerkit.container.room import SECRETS, Furnishing, Room, Rooms
from layerkit.container.tarred import Entry
from layerkit.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from stand_ins import StandIns


@pytest.fixture
def far(engine: DockerClient) -> Iterator[Engine]:
    assert engine.ping()
    connected = connect()
    yield connected
    connected.close()


@pytest.fixture
def image(far: Engine, stand_ins: dict[str, StandIns]) -> Image:
    return ready(far, stand_ins["python3.12"].run, "x86_64", print, offline=True)


@pytest.fixture
def rooms(far: Engine) -> Iterator[Rooms]:
    with Rooms(far) as opened:
        yield opened


@pytest.fixture
def room(rooms: Rooms, image: Image) -> Room:
    return rooms.room(image, Furnishing(network="none"))


def test_a_room_is_started_once_and_shared(rooms: Rooms, image: Image) -> None:
    found: list[Room] = []
    threads = [threading.Thread(target=lambda: found.append(rooms.room(image))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.id for one in found}) == 1
    assert rooms.room(image, Furnishing(network="none")).id != found[0].id


def test_nothing_stays_of_rooms(far: Engine, image: Image, engine: DockerClient) -> None:
    with Rooms(far) as rooms:
        room = rooms.room(image)
        assert engine.containers.get(room.id).labels[OWNER]
    assert room.id not in [one.id for one in engine.containers.list(all=True)]


def test_programs_run_with_what_they_are_given(room: Room, tmp_path: Path) -> None:
    script = 'echo "out $WORD"; echo err >&2; pwd; id -u; exit 3'
    with Log(tmp_path / "log") as log:
        code = room.run(
            ["/bin/sh", "-c", script], log, env={"WORD": "a b"}, user="77:88", workdir="/var/task"
        )
    assert code == 3
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["/var/task", "77", "err", "out a b"]


def test_output_is_stdout_alone_and_a_failure_is_an_error_with_stderr(room: Room) -> None:
    assert room.output(["/bin/sh", "-c", "echo one; echo two >&2"]) == "one\n"
    with pytest.raises(EngineError, match="ended with 4: the reason"):
        room.output(["/bin/sh", "-c", "echo out; echo the reason >&2; exit 4"])
    with pytest.raises(EngineError):
        room.output(["/no/such/program"])


def test_output_without_end_is_not_waited_for(room: Room) -> None:
    with pytest.raises(EngineError, match="prints without end"):
        room.output(["/bin/sh", "-c", "yes"])


def test_files_go_in_and_come_out_as_they_are(room: Room, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(40 << 20)
    room.output(["mkdir", "/there"])
    room.put(
        "/there", [Entry(name="a/b", content=b"text", mode=0o755, user=77), Entry(name="large", path=large)]
    )
    assert room.output(["stat", "-c", "%a %u %s", "/there/a/b"]) == "755 77 4\n"
    (tmp_path / "out").mkdir()
    found = room.get("/there", tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix() for path in found} == {"there/a/b", "there/large"}
    assert (tmp_path / "out/there/large").read_bytes() == large.read_bytes()
    assert {path.stat().st_uid for path in found} == {os.getuid()}
    assert not any(path.stat().st_mode & stat.S_ISUID for path in found)


def test_what_comes_out_stays_in_its_folder(room: Room, tmp_path: Path) -> None:
    room.output(["/bin/sh", "-c", "mkdir /bad && ln -s /etc/passwd /bad/link"])
    with pytest.raises(EngineError, match="a link or a device"):
        room.get("/bad", tmp_path)
    with pytest.raises(EngineError):
        room.get("/nowhere", tmp_path)
    room.output(["/bin/sh", "-c", "mkdir /big && head -c 3000000 /dev/zero > /big/file"])
    with pytest.raises(EngineError, match="more than it may"):
        room.get("/big", tmp_path, most=1 << 20)


def test_a_secret_is_in_memory_for_one_user(room: Room, engine: DockerClient) -> None:
    path = room.secret("netrc", "machine h login me password sesame", user="77:88")
    assert path.startswith(SECRETS)
    assert room.output(["cat", path], user="77:88").endswith("password sesame")
    with pytest.raises(EngineError, match="ermission denied"):
        room.output(["cat", path], user="99:99")
    assert "tmpfs" in room.output(["stat", "-f", "-c", "%T", path])
    container = engine.containers.get(room.id)
    assert "sesame" not in json.dumps(container.attrs)
    exported = engine.api.export(room.id)
    assert b"sesame" not in b"".join(exported)
    assert b"sesame" not in container.logs()


def test_a_room_without_a_network_reaches_nothing(room: Room) -> None:
    assert room.output(["ls", "/sys/class/net"]).split() == ["lo"]


def test_a_room_may_be_narrow(rooms: Rooms, image: Image) -> None:
    room = rooms.room(
        image,
        Furnishing(network="none", memory=64 << 20, read_only=True, temporary=(("/tmp", "size=1m"),)),  # noqa: S108
    )
    with pytest.raises(EngineError, match="Read-only file system"):
        room.output(["touch", "/new"])
    with pytest.raises(EngineError, match="No space left on device"):
        room.output(["/bin/sh", "-c", "head -c 2000000 /dev/zero > /tmp/a"])
    with pytest.raises(EngineError, match="ended with 137"):
        room.output(["/var/lang/bin/python3", "-c", "x = b'x' * (200 << 20)"])


def test_two_rooms_work_side_by_side(
    rooms: Rooms, far: Engine, image: Image, stand_ins: dict[str, StandIns]
) -> None:
    other = ready(far, stand_ins["python3.9"].run, "x86_64", print, offline=True)
    both = [rooms.room(one, Furnishing(network="none")) for one in (image, other)]
    script = "date +%s.%N; sleep 3; date +%s.%N"
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda room: room.output(["/bin/sh", "-c", script]), both)
        (first, first_end), (second, second_end) = (map(float, times.split()) for times in said)
    assert max(first, second) < min(first_end, second_end), "each was at work before the other was done"


def test_a_container_that_is_gone_is_one_error(rooms: Rooms, image: Image, engine: DockerClient) -> None:
    room = rooms.room(image, Furnishing(network="none"))
    engine.containers.get(room.id).remove(force=True)
    with pytest.raises(EngineError) as caught:
        room.output(["true"])
    assert room.id[:12] in caught.value.what
    room.remove()  # no fault: it is gone
