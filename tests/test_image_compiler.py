"""The compiler in an image gives what one on this machine gives; what it cannot be had by is said."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import Struct

from fake_engine import FakeEngine
from layerkit.bytecode import Interpreter
from layerkit.bytecode.compiler import Compiler
from layerkit.bytecode.in_image import ImageCompiler, Images
from layerkit.engines import Engines
from layerkit.errors import EngineError, StorageError
from layerkit.target import target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.container.room import Room
    from layerkit.container.tarred import Entry
    from layerkit.project import EngineRule

SOURCES = [("/opt/a.py", b"x = {'a', 'b'}\n"), ("/opt/b.py", b"def ("), ("/opt/c.py", b"'text'\n")]


@pytest.fixture
def compiles_here() -> None:
    """Ask engines for images, which here are none."""


class Here(Struct):
    """Stands in for a room: runs what it is told to on this machine, with its files in a folder."""

    folder: Path
    reference: str = "lambda/python"

    @property
    def image(self) -> Here:
        return self

    def put(self, _: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            path = self.folder / Path(entry.name).name
            path.write_bytes(entry.content or b"")

    def printed(self, argv: Sequence[str], *, env: Mapping[str, str], most: int) -> tuple[int, bytes, bytes]:
        assert most
        there = [arg.replace("/layerkit-bytecode", str(self.folder)) for arg in argv]
        done = subprocess.run(there, env=env, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr


def _compiler(folder: Path, path: str = sys.executable) -> ImageCompiler:
    return ImageCompiler(cast("Room", Here(folder)), path)


def test_bytecode_is_the_same_as_on_this_machine(tmp_path: Path) -> None:
    with _compiler(tmp_path) as inside, Compiler([sys.executable]) as here:
        assert inside.interpreter == here.interpreter
        assert inside.compile(SOURCES) == here.compile(SOURCES)
        assert inside.compile(SOURCES[:1]) == here.compile(SOURCES[:1])
        assert inside.compile(SOURCES)[1] is None
    assert list(tmp_path.iterdir()) == [], "no request stays behind"


@pytest.mark.parametrize("path", ["/bin/false", "/bin/true", "/no/python"])
def test_what_does_not_answer_is_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(StorageError, match="does not answer") as caught:
        _compiler(tmp_path, path)
    assert caught.value.where == "lambda/python"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    monkeypatch.delenv("LAYERKIT_IMAGE_PY312", raising=False)
    with FakeEngine(tmp_path) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        yield engine


def _images(engines: Engines, said: list[str], **named: str) -> Images:
    return Images(
        engines=engines, target=target("py312", "arm64"), named=named, talk=said.append, offline=True
    )


@pytest.mark.parametrize("rule", ["auto", "docker"])
def test_an_image_that_cannot_be_had_is_a_word_and_no_error(fake: FakeEngine, rule: EngineRule) -> None:
    said: list[str] = []
    with Engines(rule=rule, talk=said.append) as engines:
        assert _images(engines, said).find() is None
        assert engines.use("python3.12-arm64").used == "wheels"
    assert len(said) == 1
    assert said[0].startswith(
        "python3.12-arm64: no bytecode by the image public.ecr.aws/lambda/python:3.12: "
    )
    assert "the image for linux/amd64 is not on the engine" in said[0]
    assert fake.asked


def test_no_engine_is_asked_that_is_not_there_or_not_wanted(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        wheels, auto = (stack.enter_context(Engines(rule=rule, talk=print)) for rule in ("wheels", "auto"))
        assert _images(wheels, []).way == ""
        assert _images(wheels, []).find() is None
        assert _images(auto, []).way
        assert _images(auto, []).way != _images(auto, [], **{"python3.12": "mine:1"}).way
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        assert _images(auto, []).way == ""
        assert _images(auto, []).find() is None
    assert fake.asked == []


def test_an_image_that_changed_is_not_taken_for_the_one_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    made = _compiler(tmp_path)
    monkeypatch.setattr(Images, "_compiler", lambda *_: made)
    monkeypatch.setattr(Images, "_need", lambda _: None)
    with Engines(rule="auto", talk=said.append) as engines:
        images: Any = _images(engines, said)
        assert images.start(made.interpreter) is made
        with pytest.raises(EngineError, match=r"has Python .* now, and had 3\.12\.0") as caught:
            images.start(Interpreter(version="3.12.0", tag="cpython-312"))
    assert "by its digest" in str(caught.value)
