from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fake_engine import FakeEngine
from layerkit.container import images
from layerkit.container.engine import Engine, connect
from layerkit.container.images import newest, ready, reference
from layerkit.errors import EngineError
from layerkit.target import runtimes, target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PY312, ARM = target("py312"), target("py312", "arm64")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as server:
        yield server


@pytest.fixture
def engine(fake: FakeEngine) -> Iterator[Engine]:
    connected = connect({"DOCKER_HOST": fake.address})
    yield connected
    connected.close()


def described(identity: str, architecture: str, *digests: str) -> tuple[int, dict[str, Any]]:
    return 200, {
        "Id": identity,
        "Architecture": architecture,
        "RepoDigests": list(digests),
        "Config": {"Env": ["PATH=/bin"]},
    }


MISSING = 404, {"message": "No such image"}
SAID: list[str] = []


def silent(text: str) -> None:
    SAID.append(text)


# Which one


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        ({}, {}, "public.ecr.aws/lambda/python:3.12"),
        ({"python3.12": "a"}, {}, "a"),
        ({"python3.12": "a", "python3.12-arm64": "b"}, {}, "b"),
        ({"python3.12-x86_64": "a", "python3.9": "b"}, {}, "public.ecr.aws/lambda/python:3.12"),
        ({"python3.12-arm64": "b"}, {"LAYERKIT_IMAGE_PY312": "c"}, "c"),
        ({}, {"LAYERKIT_IMAGE_PY312": "c", "LAYERKIT_IMAGE_PY312_ARM64": "d"}, "d"),
        (
            {},
            {"LAYERKIT_IMAGE_PY312": "", "LAYERKIT_BUILD_IMAGE_PY312": "e"},
            "public.ecr.aws/lambda/python:3.12",
        ),
    ],
)
def test_the_nearest_word_counts(
    configured: dict[str, str], environment: dict[str, str], expected: str
) -> None:
    assert reference(ARM, "run", configured, environment) == expected


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("py312", "public.ecr.aws/sam/build-python3.12"),
        ("py38", "public.ecr.aws/sam/build-python3.8"),
        ("py37", "lambci/lambda:build-python3.7"),
    ],
)
def test_builds_have_images_with_compilers(runtime: str, expected: str) -> None:
    assert reference(target(runtime), "build", {}, {}) == expected


@pytest.mark.parametrize("runtime", runtimes())
def test_a_known_image_is_a_name_and_no_sentence(runtime: str) -> None:
    assert " " not in reference(target(runtime), "run", {}, {})


def test_where_nobody_knows_an_image_the_error_says_where_to_name_one() -> None:
    with pytest.raises(EngineError) as caught:
        reference(target("py315"), "build", {}, {})
    assert caught.value.fix == (
        "name one in [tool.layerkit.docker] build-images, or in LAYERKIT_BUILD_IMAGE_PY315"
    )


# Having it


def test_an_image_that_is_there_is_taken(fake: FakeEngine, engine: Engine) -> None:
    fake.answers["GET /images/a:1/json"] = described("sha256:i", "amd64", "a@sha256:d")
    found = ready(engine, "a:1", "x86_64", silent, offline=True)
    assert (found.id, found.digest, found.platform) == ("sha256:i", "sha256:d", "linux/amd64")
    assert found.environment == ("PATH=/bin",)
    assert not any(question.startswith("POST") for question in fake.asked)


def test_an_image_of_no_registry_goes_by_its_id(fake: FakeEngine, engine: Engine) -> None:
    fake.answers["GET /images/a:1/json"] = described("sha256:i", "arm64")
    assert ready(engine, "a:1", "arm64", silent).digest == "sha256:i"


def test_an_image_that_is_not_there_is_pulled_and_that_is_said(fake: FakeEngine, engine: Engine) -> None:
    fake.answers["GET /images/a:1/json"] = [MISSING, MISSING, described("sha256:i", "amd64")]
    fake.answers["POST /images/create"] = 200, b'{"status": "Downloading"}\n{"status": "done"}\n'
    said: list[str] = []
    assert ready(engine, "a:1", "x86_64", said.append).id == "sha256:i"
    assert said == ["pulling a:1 for linux/amd64"]


def test_a_long_pull_is_told_from_time_to_time(
    fake: FakeEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_PAUSE", -1.0)
    lines = [
        {"status": "Downloading", "id": "x", "progressDetail": {"current": 5_000_000, "total": 20_000_000}},
        {"status": "Downloading", "id": "y", "progressDetail": {"current": 1_000_000, "total": 30_000_000}},
        {"status": "Extracting", "id": "x", "progressDetail": {"current": 1, "total": 2}},
    ]
    fake.answers["GET /images/a:1/json"] = [MISSING, MISSING, described("sha256:i", "amd64")]
    fake.answers["POST /images/create"] = 200, "\n".join(map(json.dumps, lines)).encode()
    said: list[str] = []
    ready(engine, "a:1", "x86_64", said.append)
    assert said[1:] == ["pulling a:1: 5 of 20 MB", *["pulling a:1: 6 of 50 MB"] * 2]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {"message": "manifest for a:1 not found"}), "manifest for a:1 not found"),
        ((200, b'{"status": "x"}\n{"error": "denied: https://me:word@h/"}\n'), "denied: https://h/"),
        ((500, {"message": "Get https://h: dial tcp: no such host"}), "no such host"),
    ],
)
def test_an_image_that_cannot_be_pulled(
    answer: tuple[int, Any], words: str, fake: FakeEngine, engine: Engine
) -> None:
    fake.answers["GET /images/a:1/json"] = MISSING
    fake.answers["POST /images/create"] = answer
    with pytest.raises(EngineError) as caught:
        ready(engine, "a:1", "x86_64", silent)
    assert caught.value.what.startswith("the image cannot be pulled: ")
    assert words in caught.value.what
    assert caught.value.where == "a:1"
    assert "docker login" in (caught.value.fix or "")


def test_the_newest_image_is_pulled_and_else_the_one_that_is_there_is_taken(
    fake: FakeEngine, engine: Engine
) -> None:
    old, new = described("sha256:old", "amd64"), described("sha256:new", "amd64")
    fake.answers["GET /images/a:1/json"] = [old, old, old, old, old, old, new]
    fake.answers["POST /images/create"] = [(500, {"message": "no such host"}), (200, b'{"status": "done"}\n')]
    said: list[str] = []
    assert newest(engine, "a:1", "x86_64", said.append, offline=True).id == "sha256:old"
    assert said == []
    assert newest(engine, "a:1", "x86_64", said.append).id == "sha256:old"
    assert said[-1] == "a:1: taken as it is on the engine: the image cannot be pulled: no such host"
    assert newest(engine, "a:1", "x86_64", said.append).id == "sha256:new"
    assert not any("/tag" in asked for asked in fake.asked)


def test_offline_nothing_is_pulled(fake: FakeEngine, engine: Engine) -> None:
    fake.answers["GET /images/a:1/json"] = described("sha256:i", "arm64")
    with pytest.raises(EngineError, match="not on the engine, and nothing may be pulled"):
        ready(engine, "a:1", "x86_64", silent, offline=True)


def test_a_registry_that_has_another_architecture_only(fake: FakeEngine, engine: Engine) -> None:
    fake.answers["GET /images/a:1/json"] = described("sha256:i", "amd64")
    fake.answers["POST /images/sha256:i/tag"] = 201, {}
    fake.answers["POST /images/create"] = 200, b'{"status": "done"}\n'
    with pytest.raises(EngineError, match="the registry has no image for linux/arm64"):
        ready(engine, "a:1", "arm64", silent)


def test_an_image_of_the_other_architecture_is_not_lost_by_a_pull(fake: FakeEngine, engine: Engine) -> None:
    name = ":".join(images._own_name("a:1", "amd64"))
    first, second = described("sha256:x", "amd64"), described("sha256:y", "arm64")
    fake.answers["GET /images/a:1/json"] = [first, first, second]
    fake.answers["POST /images/sha256:x/tag"] = 201, {}
    fake.answers["POST /images/create"] = 200, b'{"status": "done"}\n'
    assert ready(engine, "a:1", "arm64", silent).id == "sha256:y"
    assert "POST /images/sha256:x/tag" in fake.asked
    fake.answers[f"GET /images/{name}/json"] = first
    assert ready(engine, "a:1", "x86_64", silent, offline=True).id == "sha256:x"


def test_what_is_no_name_of_an_image_is_told_with_where_it_is_named(fake: FakeEngine, engine: Engine) -> None:
    fake.answers["GET /images/Bad:1/json"] = (
        400,
        {"message": "invalid reference format: repository name must be lowercase"},
    )
    with pytest.raises(EngineError, match="'Bad:1' is not the name of an image") as caught:
        ready(engine, "Bad:1", "x86_64", print)
    assert "[tool.layerkit.docker]" in (caught.value.fix or "")
