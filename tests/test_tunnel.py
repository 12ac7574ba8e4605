from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_engine import FakeEngine
from layerkit.container import tunnel
from layerkit.container.engine import connect
from layerkit.container.tunnel import Tunnel
from layerkit.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What stands for ssh: it notes how it was called, and connects to the socket that it finds in a file.
SSH = f"""\
#!{sys.executable}
import os, socket, sys, threading
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "called"), "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if "-l" in sys.argv and sys.argv[sys.argv.index("-l") + 1] == "stranger":
    sys.exit("stranger@host: Permission denied (publickey).")
with open(os.path.join(here, "socket")) as file:
    other = socket.socket(socket.AF_UNIX)
    other.connect(file.read())

def pump(read, write):
    while chunk := read():
        write(chunk)

threading.Thread(target=pump, args=(lambda: other.recv(65536), lambda b: os.write(1, b)), daemon=True).start()
pump(lambda: os.read(0, 65536), other.sendall)
"""


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(textwrap.dedent(SSH))
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def fake(tmp_path: Path, ssh: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as engine:
        (ssh / "socket").write_text(engine.address.removeprefix("unix://"))
        yield engine


def test_an_engine_behind_ssh_is_spoken_to_as_any_other(fake: FakeEngine, ssh: Path) -> None:
    fake.answers["GET /containers/json"] = 200, []
    engine = connect({"DOCKER_HOST": "ssh://me@far:2222"})
    assert engine.where == "ssh://far:2222"
    with engine.talking("counting"):
        assert engine.client.containers() == []
    folder = Path(engine.tunnel.address.removeprefix("unix://")).parent  # type: ignore[union-attr]
    assert folder.exists()
    engine.close()
    assert not folder.exists()
    called = (ssh / "called").read_text().splitlines()
    assert all(line.endswith("-l me -p 2222 -- far docker system dial-stdio") for line in called)


def test_what_ssh_says_is_told(fake: FakeEngine) -> None:
    assert fake.asked == []
    with pytest.raises(EngineError) as caught:
        connect({"DOCKER_HOST": "ssh://stranger@far"})
    assert "Permission denied (publickey)." in caught.value.what


@pytest.mark.parametrize(
    ("address", "end"),
    [
        ("ssh://far", "-- far docker system dial-stdio"),
        (
            "ssh://me@far/run/user/1/docker.sock",
            "-l me -- far docker --host unix:///run/user/1/docker.sock system dial-stdio",
        ),
    ],
)
def test_the_command_is_the_one_of_docker(address: str, end: str) -> None:
    command = " ".join(tunnel._ssh(address, Path("/tmp/m")))  # noqa: S108
    assert command.endswith(end)
    assert "ControlPath=/tmp/m" in command


@pytest.mark.parametrize("address", ["ssh://", "ssh://-oProxyCommand=x", "ssh://far:port"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(EngineError, match="no address of a machine behind ssh"):
        list(tunnel._ssh(address, Path("m")))


def test_without_ssh_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="ssh is not installed"):
        Tunnel("ssh://far")
