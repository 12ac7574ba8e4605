"""The image to build in, where a Dockerfile makes it: its name, when it is made, and who it stands for."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

import projects
from layerkit.container import build_image, image_build, images, question
from layerkit.container.images import Image
from layerkit.errors import EngineError
from layerkit.project import Containers, Dockerfile
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.project import Project

ON = target("py312")


class Engine:
    """What stands for an engine: its images by name, the orders it got, and what was removed."""

    def __init__(self) -> None:
        self.here: dict[str, Image] = {"base:1": image("base:1", "sha256:one")}
        self.orders: list[image_build.Order] = []
        self.removed: list[str] = []
        self.client = SimpleNamespace(
            images=lambda name: [{"RepoTags": [one]} for one in self.here if one.startswith(name)],
            remove_image=self.removed.append,
        )

    def talking(self, _: str) -> Any:
        return contextlib.nullcontext()

    def build(self, _engine: Any, order: image_build.Order, _log: Any) -> str:
        self.orders.append(order)
        self.here[order.tag] = image(order.tag, dict(order.labels)[images.MADE])
        return "sha256:built"


def image(name: str, digest: str) -> Image:
    return Image(reference=name, id=f"sha256:id-of-{name}", digest=digest, arch="x86_64")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(images, "there", lambda engine, name, _: engine.here.get(name))
    monkeypatch.setattr(images, "ready", lambda engine, name, *_, **__: engine.here[name])
    monkeypatch.setattr(image_build, "build", made.build)
    return made


def project(folder: Path, text: str = "FROM base:1\n", key: str = "python3.12") -> Project:
    (folder / "b.Dockerfile").write_text(text)
    spec = Dockerfile(path=folder / "b.Dockerfile", context=folder)
    return replace(
        projects.project(folder, {}), containers=Containers(build_files=((key, spec),)), name="De mo"
    )


def ready(engine: Any, on: Project, **how: Any) -> Image:
    return build_image.ready(engine, on, ON, lambda _: None, offline=how.get("offline", False))


def test_it_is_made_once(tmp_path: Path, engine: Engine) -> None:
    one = project(tmp_path)
    first = ready(engine, one)
    assert ready(engine, one) == first
    (order,) = engine.orders
    assert order.tag.startswith("layerkit-build/de-mo:python3.12-x86_64-")
    assert (first.reference, first.id) == ("b.Dockerfile", f"sha256:id-of-{order.tag}")
    assert (order.network, order.platform) == ("bridge", "linux/amd64")


def test_what_changes_makes_it_anew_and_the_old_one_goes(tmp_path: Path, engine: Engine) -> None:
    first = ready(engine, project(tmp_path))
    second = ready(engine, project(tmp_path, "FROM base:1\nENV A=1\n"))
    assert engine.removed == [engine.orders[0].tag]
    engine.here["base:1"] = image("base:1", "sha256:two")
    third = ready(engine, project(tmp_path, "FROM base:1\nENV A=1\n"))
    assert len({first.digest, second.digest, third.digest}) == 3
    assert engine.orders[1].tag == engine.orders[2].tag
    assert len(engine.orders) == 3


def test_without_the_image_it_started_from_it_is_taken_as_it_is(tmp_path: Path, engine: Engine) -> None:
    first = ready(engine, project(tmp_path))
    del engine.here["base:1"]
    assert ready(engine, project(tmp_path), offline=True) == first


def test_offline_its_steps_have_no_network(tmp_path: Path, engine: Engine) -> None:
    ready(engine, project(tmp_path), offline=True)
    assert [order.network for order in engine.orders] == ["none"]


def test_one_of_another_platform_is_an_error(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_build, "build", lambda *_: "sha256:foreign")
    with pytest.raises(EngineError, match="for another platform than linux/amd64"):
        ready(engine, project(tmp_path))


def test_it_starts_from_the_image_that_stood_there_otherwise(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ARG LAYERKIT_BUILD_IMAGE=mine\nFROM $LAYERKIT_BUILD_IMAGE\n"
    _, asked = question.build_image(project(tmp_path, text), ON)
    assert asked
    assert asked.recipe.images == ("public.ecr.aws/sam/build-python3.12",)
    # Nobody knows one for 3.15: the Dockerfile's own value counts.
    _, asked = question.build_image(project(tmp_path, text, "python3.15"), target("py315"))
    assert asked
    assert asked.recipe.images == ("mine",)
    monkeypatch.setenv("LAYERKIT_BUILD_IMAGE_PY312", "named:1")
    assert question.build_image(project(tmp_path, text), ON) == ("named:1", None)
    assert engine.orders == []


def test_a_layer_that_starts_from_it_is_given_its_name(tmp_path: Path, engine: Engine) -> None:
    on = project(tmp_path)
    (tmp_path / "layer.Dockerfile").write_text("ARG LAYERKIT_BUILD_IMAGE\nFROM ${LAYERKIT_BUILD_IMAGE}\n")
    spec = Dockerfile(path=tmp_path / "layer.Dockerfile", context=tmp_path)
    ready(engine, on)
    asked = question.ask("layer", spec, on, ON)
    assert asked.recipe.images == (engine.orders[0].tag,) == (question.made(on, ON),)


def test_a_dockerfile_is_told_what_the_runtime_has(tmp_path: Path) -> None:
    (tmp_path / "x.Dockerfile").write_text("FROM a\nARG LAYERKIT_LIBRARIES\nARG LAYERKIT_RUNTIME\n")
    spec = Dockerfile(path=tmp_path / "x.Dockerfile", context=tmp_path)
    given = dict(question.ask("layer", spec, projects.project(tmp_path, {}), ON).recipe.arguments)
    assert "libc.so.6" in given["LAYERKIT_LIBRARIES"].split()
    assert "libexpat.so.1" not in given["LAYERKIT_LIBRARIES"].split()
    assert given["LAYERKIT_RUNTIME"] == "python3.12"
