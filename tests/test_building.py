"""What decides about a build before any container: keys, notes, and builds that cannot begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from factory import make_wheel
from layerkit.container import building, notes
from layerkit.container.building import Bench, Builder
from layerkit.container.images import Image
from layerkit.errors import BuildError
from layerkit.lock import LockedPackage, Source, WheelRef
from layerkit.lock.uv import Candidate
from layerkit.project import Containers
from layerkit.target import target
from projects import project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerkit.store import Store

PY312 = target("py312")
SDIST = WheelRef(filename="demo-1.0.tar.gz", sha256="b" * 64)
DEMO = Candidate(name="demo", version="1.0", wheels=(), sdist=SDIST)
IMAGE = Image(reference="image:1", id="sha256:i", digest="sha256:d", arch="x86_64")


class Rooms:
    """What stands for an engine that must not be asked for a room."""

    engine = None

    def room(self, *_: object) -> None:
        raise AssertionError("a container is started")


@pytest.fixture
def bench(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("LAYERKIT_BUILD_IMAGE_PY312", "image:1")
    monkeypatch.setattr("layerkit.container.images.ready", lambda *_, **__: IMAGE)
    fetched: list[str] = []

    def fetch(files: Sequence[WheelRef]) -> None:
        fetched.extend(file.filename for file in files)

    rooms: Any = Rooms()
    return Bench(
        project=project(tmp_path, {"default": ["demo"]}),
        target=PY312,
        store=store,
        need=lambda _: rooms,
        fetch=fetch,
        talk=lambda _: None,
        offline=False,
    )


def kept(bench: Bench, key: str, folder: Path, **how: Any) -> WheelRef:
    """Have a wheel in the store as an earlier build of that key would have left it."""
    made = make_wheel(folder, "demo", **how)
    note = notes.keep(
        bench.store, key, made.path, image="image:1", digest="sha256:d", system=(), tools=("a==1",)
    )
    return WheelRef(filename=note.filename, sha256=note.sha256, size=note.size)


def test_everything_that_decides_is_in_the_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(one: Bench, source: str = "s", image: str = "i") -> str:
        return Builder(one)._key(source, image)

    system = replace(bench.project, containers=Containers(system=("libyaml-dev",)))
    keys = [
        key(bench),
        key(bench, source="t"),
        key(bench, image="j"),
        key(replace(bench, target=target("py312", "arm64"))),
        key(replace(bench, target=target("py311"))),
        key(replace(bench, project=system)),
    ]
    monkeypatch.setattr(building, "build_constraints", lambda _: ("cython<3",))
    keys.append(key(bench))
    monkeypatch.setattr(building, "RECIPE", 99)
    keys.append(key(bench))
    assert len(set(keys)) == len(keys)
    assert key(bench) == keys[-1]


def test_a_wheel_that_is_kept_takes_no_container(bench: Bench, tmp_path: Path) -> None:
    builder = Builder(bench)
    ref = kept(bench, builder._key(SDIST.sha256, IMAGE.digest), tmp_path, requires=["idna"])
    found = builder(DEMO)
    assert found.wheel == ref
    assert found.requires == ("idna",)
    assert found.source == Source(sdist=SDIST, image="image:1", digest="sha256:d", tools=("a==1",))
    with pytest.raises(AssertionError, match="a container is started"):
        builder(replace(DEMO, sdist=replace(SDIST, sha256="c" * 64)))


def test_the_wheel_of_a_lock_is_the_one_it_names(bench: Bench, tmp_path: Path) -> None:
    builder = Builder(bench)
    ref = kept(bench, builder._key(SDIST.sha256, IMAGE.digest), tmp_path)
    source = Source(sdist=SDIST, image="image:1", digest="sha256:d")
    locked = LockedPackage(name="demo", version="1.0", wheel=ref, source=source)
    assert builder.again(locked) is None
    with pytest.raises(AssertionError, match="a container is started"):
        builder.again(replace(locked, wheel=replace(ref, sha256="c" * 64)))
    assert builder.again(replace(locked, source=None)) is None


def test_what_came_out_differently_is_said_with_the_image(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = kept(bench, "f" * 64, tmp_path)
    note = notes.find(bench.store, "f" * 64)
    monkeypatch.setattr(Builder, "_built", lambda *_: note)
    source = Source(sdist=SDIST, image="image:1", digest="sha256:other")
    locked = LockedPackage(name="demo", version="1.0", wheel=replace(ref, sha256="c" * 64), source=source)
    said = Builder(bench).again(locked)
    assert said == f"demo 1.0 (sha256 {ref.sha256[:12]}..., in the image sha256:d and not in sha256:other)"


def test_a_build_that_needs_itself_ends_before_it_waits_for_itself(bench: Bench) -> None:
    builder = Builder(bench)
    builder._at_work += ["demo-1.0", "helper-2.0"]
    with pytest.raises(BuildError, match=r"its build requires itself: demo-1\.0 -> helper-2\.0 -> demo-1\.0"):
        builder(DEMO)


def test_a_candidate_without_a_source_cannot_be_built(bench: Bench) -> None:
    with pytest.raises(BuildError, match="no source archive"):
        Builder(bench)(replace(DEMO, sdist=None))
