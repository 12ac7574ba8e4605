"""Images that the engine builds of a Dockerfile: what it says while it does, and how that ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fake_engine import FakeEngine
from layerkit.container.context import Context
from layerkit.container.engine import connect
from layerkit.container.image_build import Order, logged
from layerkit.container.tarred import Entry
from layerkit.errors import BuildError, EngineError, LayerkitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDER = Order(
    context=Context(entries=(Entry(name="Dockerfile", content=b"FROM a"),), dockerfile="Dockerfile"),
    arguments=(("A", "1"),),
    stage="",
    platform="linux/arm64",
    network="none",
    tag="layerkit/a-b:python3.12-arm64",
    where="docker/b.Dockerfile",
    labels=(("layerkit.made", "sha256:m"),),
)
FAILED = {"error": "The command '/bin/sh -c x' returned a non-zero code: 1"}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as engine:
        engine.answers["GET /images/json"] = 200, []
        yield engine


def build(fake: FakeEngine, log: Path, *lines: dict[str, object]) -> str:
    said = "".join(json.dumps(line) + "\r\n" for line in lines)
    fake.answers["POST /build"] = 200, said.encode()
    engine = connect({"DOCKER_HOST": fake.address})
    try:
        return logged(engine, ORDER, log)
    finally:
        engine.close()


def test_the_last_id_is_the_image(fake: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of an earlier build\n")
    made = build(
        fake, tmp_path / "log", {"stream": "Step 1/1 : FROM a\n"}, {"aux": {"ID": "sha256:x"}},
        {"stream": "\u001b[91mred\n\u001b[0m"}, {"status": "Pulling", "progress": "[=> ]"},
    )  # fmt: skip
    assert made == "sha256:x"
    assert (tmp_path / "log").read_text() == "Step 1/1 : FROM a\nred\n"


@pytest.mark.parametrize(
    ("lines", "error", "said"),
    [
        ([{"stream": "what was wrong\n"}, FAILED], BuildError, "what was wrong"),
        ([{"stream": "done\n"}], BuildError, "the engine told no image"),
        ([{"stream": "sh: exec format error\n"}, FAILED], EngineError, "cannot run linux/arm64"),
        ([{"stream": "cp: No space left on device\n"}, FAILED], EngineError, "no room is left"),
        ([{"error": "write /opt/x: no space left on device"}], EngineError, "no room is left"),
    ],
)
def test_every_end_has_its_error(
    lines: list[dict[str, object]], error: type[LayerkitError], said: str, fake: FakeEngine, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        build(fake, tmp_path / "log", *lines)
    assert said in caught.value.what
    assert "docker/b.Dockerfile" in str(caught.value)
    assert caught.value.fix


def test_no_password_of_a_proxy_is_in_the_log(
    fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:sesame@proxy:3128")
    build(fake, tmp_path / "log", {"stream": "using sesame\n"}, {"aux": {"ID": "sha256:x"}})
    assert (tmp_path / "log").read_text() == "using ****\n"
