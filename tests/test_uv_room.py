"""What uv is given in a container: its files under their own paths, its settings, and secrets in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import tomllib

from layerkit.container.interpreter import ask
from layerkit.container.uv_room import UvRoom
from layerkit.errors import EngineError
from layerkit.lock.places import Errand
from layerkit.target import target
from projects import project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.container.tarred import Entry


class Room:
    """What stands for a room: keeps its files and secrets, and answers as it is told to."""

    reference = "lambda/python"

    def __init__(self, answer: tuple[int, str, str] = (0, "", "")) -> None:
        self.files: dict[str, Entry] = {}
        self.secrets: dict[str, str] = {}
        self.ran: list[tuple[list[str], dict[str, str]]] = []
        self.answer = answer

    @property
    def image(self) -> Room:
        return self

    def put(self, folder: str, entries: Iterable[Entry]) -> None:
        self.files |= {f"{folder}{entry.name}": entry for entry in entries}

    def secret(self, name: str, text: str) -> str:
        self.secrets[name] = text
        return f"/run/{name}"

    def captured(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        self.ran.append((list(argv), dict(env or {})))
        return self.answer

    def output(self, argv: Sequence[str]) -> str:
        return f"what {argv[-1]} holds"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("UV_", "SSL_", "XDG_")) or name == "NETRC"]:
        monkeypatch.delenv(name)
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def _opened(tmp_path: Path, room: Room, network: str = "bridge") -> UvRoom:
    there: Any = room
    return UvRoom(there, project(tmp_path, {"default": ["six"]}), network)


def _ran(tmp_path: Path, room: Room, *arguments: str, **files: str) -> dict[str, str]:
    """Run uv with these small files; return its environment."""
    shared = tmp_path / "shared"
    shared.mkdir()
    for name, text in files.items():
        (shared / name).write_text(text)
    errand = Errand(arguments=arguments, folder=tmp_path / "app", shared=shared, environment={"MORE": "1"})
    _opened(tmp_path, room).run(errand)
    return room.ran[-1][1]


def test_settings_that_mean_the_same_there_come_along(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX", "https://me:word@h/")
    monkeypatch.setenv("UV_PYTHON", "/usr/bin/python3")
    monkeypatch.setenv("UV_CACHE_DIR", "/home/me/cache")
    (home / ".netrc").write_text("machine h login me password hidden\n")
    (home / ".config" / "uv").mkdir(parents=True)
    (home / ".config" / "uv" / "uv.toml").write_text('prerelease = "allow"\ncache-dir = "/home/me"\n')
    kept = home / ".local/share/uv/credentials/credentials.toml"
    kept.parent.mkdir(parents=True)
    kept.write_text("# kept\n")
    room = Room()
    environment = _ran(tmp_path, room, "pip", "compile")
    assert environment["UV_INDEX"] == "https://me:word@h/"
    assert "UV_PYTHON" not in environment
    assert environment["UV_CACHE_DIR"] != "/home/me/cache"
    assert environment["MORE"] == "1"
    assert tomllib.loads(room.secrets["uv.toml"]) == {"prerelease": "allow"}
    assert room.secrets["netrc"].startswith("machine h login me password hidden")
    assert room.secrets["credentials.toml"] == "# kept\n"


def test_what_holds_a_password_is_in_memory_alone(tmp_path: Path) -> None:
    room = Room()
    _ran(tmp_path, room, "--index-url", "https://me:word@h/", plain="six\n", deep="x @ https://me:word@h/x\n")
    (argv, environment), script = room.ran[-1], room.secrets["run"]
    assert "word" not in str(argv)
    assert "https://me:word@h/" in script
    assert f"{tmp_path}/shared/plain" in room.files
    assert f"{tmp_path}/shared/deep" not in room.files
    (hidden,) = (name for name, text in room.secrets.items() if text.startswith("x @ "))
    assert f"ln -sf /run/{hidden} {tmp_path}/shared/deep" in script
    assert not any("word" in text for text in environment.values())


def test_local_folders_of_wheels_come_along_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "a shelf"
    (shelf / "sub").mkdir(parents=True)
    (shelf / "six.whl").write_bytes(b"wheel")
    monkeypatch.setenv("UV_FIND_LINKS", str(shelf))
    room = Room()
    opened = _opened(tmp_path, room)
    assert room.files[f"{shelf}/six.whl"].path == shelf / "six.whl"
    room.files.clear()
    shared = tmp_path / "shared"
    shared.mkdir()
    errand = Errand(
        arguments=["x"], folder=tmp_path, shared=shared, needed=[shelf / "six.whl"], environment={}
    )
    opened.run(errand)
    opened.run(errand)
    assert set(room.files) == {str(shared), f"{shelf}/six.whl"}


def test_an_answer_is_brought_back_and_only_from_a_success(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    answer = shared / "pylock.toml"
    errand = Errand(arguments=["x"], folder=tmp_path, shared=shared, answer=answer, environment={})
    told = _opened(tmp_path, Room((2, "", "no solution"))).run(errand)
    assert (told.code, told.error, answer.exists()) == (2, "no solution", False)
    _opened(tmp_path, Room()).run(errand)
    assert answer.read_text() == f"what {answer} holds"


def test_certificates_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ours.pem").write_text("CERTIFICATE")
    (tmp_path / "client.pem").write_text("KEY")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    monkeypatch.setenv("SSL_CLIENT_CERT", str(tmp_path / "client.pem"))
    room = Room()
    environment = _ran(tmp_path, room, "x")
    assert environment["SSL_CERT_DIR"] == str(tmp_path / "certs")
    assert f"{tmp_path}/certs/ours.pem" in room.files
    assert room.secrets["client.pem"] == "KEY"
    assert environment["SSL_CLIENT_CERT"] == "/run/client.pem"


def test_what_to_do_about_the_network_depends_on_the_containers(tmp_path: Path) -> None:
    assert "network = 'host'" in _opened(tmp_path, Room()).advice
    assert "network = 'host'" not in _opened(tmp_path, Room(), "host").advice
    assert "--offline" in _opened(tmp_path, Room(), "none").advice


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((126, "", "no such file"), "it has no /var/lang/bin/python3.12"),
        ((1, "", "broken: https://me:word@h/"), "ended with 1: broken: https://h/"),
        ((0, "hello", ""), "does not say what it is: hello"),
        ((0, '{"python": "3.12.1"}', ""), "does not say what it is"),
        (
            (
                0,
                '{"python": "3.11.1", "implementation": "cpython", "machine": "x86_64", "glibc": "2.34"}',
                "",
            ),
            "its interpreter is cpython 3.11.1 on x86_64, with glibc 2.34",
        ),
        (
            (0, '{"python": "3.12.1", "implementation": "cpython", "machine": "x86_64", "glibc": ""}', ""),
            "does not say what it is",
        ),
        (
            (
                0,
                '{"python": "3.12.1", "implementation": "cpython", "machine": "aarch64", "glibc": "2.34"}',
                "",
            ),
            "the image is not one of python3.12-x86_64",
        ),
    ],
)
def test_an_image_of_something_else_is_refused(answer: tuple[int, str, str], words: str) -> None:
    room: Any = Room(answer)
    with pytest.raises(EngineError) as caught:
        ask(room, target("py312"))
    assert words in caught.value.what
    assert caught.value.where == "lambda/python"


def test_the_images_release_and_glibc_are_told() -> None:
    room: Any = Room(
        (0, '{"python": "3.12.9", "implementation": "cpython", "machine": "x86_64", "glibc": "2.34"}', "")
    )
    told = ask(room, target("py312"))
    assert (told.python, told.glibc) == ("3.12.9", (2, 34))
