"""Images from a registry of our own: pulled, of both architectures, and those that cannot be had or run."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from layerkit.container import image_build
from layerkit.container.context import Context
from layerkit.container.engine import Engine, connect
from layerkit.container.images import ready
from layerkit.container.room import Rooms
from layerkit.container.tarred import Entry
from layerkit.errors import EngineError
from registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

# e_machine in an ELF header, of a machine that nobody has built and no emulation runs.
_NO_MACHINE = b"\xff\xff"


@pytest.fixture
def far(engine: DockerClient) -> Iterator[Engine]:
    assert engine.ping()
    connected = connect()
    yield connected
    connected.close()


@pytest.fixture
def registry(engine: DockerClient) -> Iterator[Registry]:
    with Registry() as served:
        yield served
        for image in engine.images.list():
            own = [tag for tag in image.tags if served.reference("", "").partition("/")[0] in tag]
            for tag in [*own, *[tag for tag in image.tags if own and tag.startswith("layerkit-images:")]]:
                engine.images.remove(tag, force=True)


def test_both_architectures_of_one_tag_stay_side_by_side(far: Engine, registry: Registry) -> None:
    registry.add("demo", "1", {"amd64": {"a": b"amd"}, "arm64": {"a": b"arm"}})
    name = registry.reference("demo", "1")
    said: list[str] = []
    amd = ready(far, name, "x86_64", said.append)
    arm = ready(far, name, "arm64", said.append)
    assert amd.id != arm.id
    assert (amd.platform, arm.platform) == ("linux/amd64", "linux/arm64")
    assert amd.digest.startswith("sha256:")
    assert said == [f"pulling {name} for linux/amd64", f"pulling {name} for linux/arm64"]
    asked = len(registry.asked)
    for _ in range(2):
        assert ready(far, name, "x86_64", said.append, offline=True).id == amd.id
        assert ready(far, name, "arm64", said.append, offline=True).id == arm.id
    assert len(registry.asked) == asked


def test_a_digest_stands_above_the_tag(
    far: Engine, registry: Registry, engine: DockerClient, tmp_path: Path
) -> None:
    digest = registry.add("demo", "5", {"amd64": {"a": b"pinned"}, "arm64": {"a": b"pinned"}})
    registry.add("demo", "5", {"amd64": {"a": b"moved"}, "arm64": {"a": b"moved"}})
    name = registry.reference("demo", "5")
    pinned = ready(far, f"{name}@{digest}", "x86_64", lambda _: None)
    assert pinned.digest == digest
    assert ready(far, name, "x86_64", lambda _: None).id != pinned.id
    # As the Dockerfiles in docker/ write it.
    text = "ARG BASE\nARG DIGEST\nFROM ${BASE}${DIGEST:+@${DIGEST}}\nLABEL a=b\n"
    told = order(text, pinned.platform, BASE=name, DIGEST=digest)
    try:
        made = image_build.logged(far, told, tmp_path / "log")
        layers = [engine.images.get(one).attrs["RootFS"]["Layers"] for one in (made, pinned.id)]
        assert layers[0] == layers[1]
    finally:
        engine.images.remove(told.tag)
        engine.images.remove(pinned.id, force=True)


def order(text: str, platform: str, **arguments: str) -> image_build.Order:
    """Return what builds a Dockerfile of that text."""
    return image_build.Order(
        context=Context(entries=(Entry(name="Dockerfile", content=text.encode()),), dockerfile="Dockerfile"),
        arguments=tuple(arguments.items()),
        stage="",
        platform=platform,
        network="none",
        tag="layerkit-test/made:1",
        where="x.Dockerfile",
    )


def test_a_tag_that_the_registry_has_not(far: Engine, registry: Registry) -> None:
    with pytest.raises(EngineError) as caught:
        ready(far, registry.reference("demo", "2"), "x86_64", lambda _: None)
    assert caught.value.what.startswith("the image cannot be pulled: ")
    assert "not found" in caught.value.what or "unknown" in caught.value.what


def test_an_architecture_that_the_registry_has_not(far: Engine, registry: Registry) -> None:
    registry.add("demo", "3", {"amd64": {"a": b"amd"}})
    with pytest.raises(EngineError) as caught:
        ready(far, registry.reference("demo", "3"), "arm64", lambda _: None)
    assert "linux/arm64" in str(caught.value) or "no matching manifest" in str(caught.value)


def test_a_registry_that_nobody_answers_for(far: Engine) -> None:
    with pytest.raises(EngineError) as caught:
        ready(far, "127.0.0.1:9/demo:1", "x86_64", lambda _: None)
    assert "the image cannot be pulled: " in caught.value.what
    assert "refused" in caught.value.what


def test_without_emulation_the_error_says_how_to_get_it(
    far: Engine, registry: Registry, tmp_path: Path
) -> None:
    foreign = {"x86_64": "arm64", "aarch64": "amd64"}[platform.machine()]
    with open("/bin/true", "rb") as file:  # noqa: PTH123
        program = bytearray(file.read())
    program[18:20] = _NO_MACHINE
    registry.add("demo", "4", {foreign: {"bin/sleep": bytes(program), "bin/sh": bytes(program)}})
    image = ready(
        far, registry.reference("demo", "4"), "arm64" if foreign == "arm64" else "x86_64", lambda _: None
    )
    faults = []
    with Rooms(far) as rooms, pytest.raises(EngineError) as caught:
        rooms.room(image)
    faults.append(caught.value)
    with pytest.raises(EngineError) as caught:
        image_build.logged(far, order(f"FROM {image.reference}\nRUN :\n", image.platform), tmp_path / "log")
    faults.append(caught.value)
    for fault in faults:
        assert f"the engine cannot run linux/{foreign}: its machine has another processor" in fault.what
        assert f"tonistiigi/binfmt --install {foreign}" in (fault.fix or "")
        assert "qemu-user-static" in (fault.fix or "")
    assert [fault.where for fault in faults] == [image.reference, "x.Dockerfile"]
