from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct, field

import projects
from layerkit.archive import Archive, Run, compose
from layerkit.container import image_build, images
from layerkit.container.images import Image
from layerkit.dockerfiles import KIND, OptLayer, OptPackage, ask, get
from layerkit.errors import BuildError, ConfigError, EngineError, UsageError
from layerkit.project import Dockerfile, LayerSpec, Project
from layerkit.store import Store
from layerkit.target import target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ON = target("py312")
DIGEST = "sha256:" + "a" * 64
PINNED = f"FROM debian@{DIGEST}\n"


class Kitchen(Struct):
    """What stands for the engine: what its images are, what builds leave, and what was asked of it."""

    rule: str = "auto"
    here: dict[str, str] = field(default_factory=lambda: {"debian:12": "sha256:one"})
    registry: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=lambda: {"lib/libx.so": b"library"})
    connected: bool = True
    told: list[str] = field(default_factory=list)
    orders: list[image_build.Order] = field(default_factory=list)

    def talk(self, text: str) -> None:
        self.told.append(text)

    def look(self) -> Any:
        return self.rooms() if self.connected and self.rule != "wheels" else None

    def need(self, _target: str, why: str) -> Any:
        if self.rule == "wheels":
            raise UsageError(why)
        if not self.connected:
            raise EngineError("no container engine answers")
        self.told.append(why)
        return self.rooms()

    def rooms(self) -> Any:
        return SimpleNamespace(engine=SimpleNamespace(sweep=lambda: self.told.append("swept")))

    def there(self, _engine: Any, name: str, arch: Any) -> Image | None:
        found = self.here.get(name)
        return Image(reference=name, id="sha256:id", digest=found, arch=arch) if found else None

    def ready(self, engine: Any, name: str, arch: Any, _talk: Any, *, offline: bool) -> Image:
        if name not in self.here:
            if offline:
                raise EngineError("nothing may be pulled")
            self.told.append(f"pulled {name}")
            self.here[name] = self.registry[name]
        found = self.there(engine, name, arch)
        assert found
        return found

    def build(self, _engine: Any, order: image_build.Order, log: Any) -> str:
        self.orders.append(order)
        log.say("a step")
        return f"sha256:built{len(self.orders)}"

    def opt(self, *_: Any) -> Iterator[bytes]:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in self.files.items():
                info = tarfile.TarInfo(f"opt/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        yield packed.getvalue()


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    made = Kitchen()
    monkeypatch.setattr(images, "there", made.there)
    monkeypatch.setattr(images, "ready", made.ready)
    monkeypatch.setattr(image_build, "build", made.build)
    monkeypatch.setattr(image_build, "files", made.opt)
    return made


def project(folder: Path, text: str, **spec: Any) -> Project:
    """Return a project with one layer, made by a Dockerfile of that text."""
    (folder / "docker").mkdir(exist_ok=True)
    (folder / "docker" / "x.Dockerfile").write_text(text)
    made = projects.project(folder, {})
    dockerfile = Dockerfile(path=folder / "docker" / "x.Dockerfile", context=folder / "docker", **spec)
    more = {"layers": (LayerSpec(name="sys", dockerfile=dockerfile),)}
    return Project(**{name: getattr(made, name) for name in made.__struct_fields__} | more)


def made(project: Project, kitchen: Kitchen, runtime: str = "py312", *, offline: bool = False) -> OptLayer:
    store: Any = Store(project.root / "store")
    on, engines = target(runtime), kitchen
    (asked,) = ask(project, on, store, engines)  # type: ignore[arg-type]
    return get(asked, project, on, store, engines, offline=offline)  # type: ignore[arg-type]


def contents(layer: OptLayer, folder: Path) -> dict[str, bytes]:
    compose(folder / "layer.zip", [Run.open(layer.path)])
    with Archive.open(folder / "layer.zip") as archive:
        return {one.name: archive.read(one) for one in archive.members}


def test_what_a_dockerfile_leaves_is_kept_with_what_is_known_of_it(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.files["python/Some_Thing-1.0.dist-info/METADATA"] = (
        b"Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.0\n"
        b"Requires-Dist: six>=1; extra == 'a'\nProvides-Extra: a\n"
    )
    kitchen.files["python/__pycache__/x.pyc"] = bytes(20)
    layer = made(project(tmp_path, "FROM debian:12\n"), kitchen)
    assert contents(layer, tmp_path).keys() == kitchen.files.keys() - {"python/__pycache__/x.pyc"}
    assert (layer.layer, layer.dockerfile, layer.image) == ("sys", "docker/x.Dockerfile", "sha256:built1")
    assert layer.bases == (("debian:12", "sha256:one"),)
    assert layer.packages == (
        OptPackage(
            name="some-thing", version="1.0", folder="python",
            requires=("six>=1; extra == 'a'",), extras=("a",),
        ),
    )  # fmt: skip
    assert len(layer.notes) == 1
    assert (layer.entries, layer.unzipped) == (2, sum(map(len, kitchen.files.values())) - 20)


def test_the_engine_is_told_all_it_has_to_know(
    tmp_path: Path, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERKIT_BUILD_IMAGE_PY312", "mine:1")
    kitchen.here["mine:1"] = "sha256:two"
    text = (
        "ARG LAYERKIT_BUILD_IMAGE\nFROM ${LAYERKIT_BUILD_IMAGE} AS a\nARG LAYERKIT_ARCH\nARG V=1\nARG W=2\n"
    )
    made(project(tmp_path, text, target="a", args=(("V", ""),)), kitchen)
    (order,) = kitchen.orders
    assert dict(order.arguments) == {"LAYERKIT_BUILD_IMAGE": "mine:1", "LAYERKIT_ARCH": "x86_64", "V": ""}
    assert (order.stage, order.platform, order.network) == ("a", "linux/amd64", "bridge")
    assert order.tag == "layerkit/demo-sys:python3.12-x86_64"
    assert order.context.dockerfile == "x.Dockerfile"


def test_the_same_question_is_not_built_twice(tmp_path: Path, kitchen: Kitchen) -> None:
    one = project(tmp_path, "FROM debian:12\nCOPY a /opt/a\n")
    (tmp_path / "docker" / "a").write_text("1")
    first = made(one, kitchen)
    assert made(one, kitchen) == first
    assert made(one, kitchen, "py39").path == first.path
    assert len(kitchen.orders) == 1


def test_whatever_decides_makes_it_anew(tmp_path: Path, kitchen: Kitchen) -> None:
    text = "FROM debian:12\nARG V=1\nCOPY a /opt/a\n"
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "a").write_text("1")
    keys = [made(project(tmp_path, text), kitchen).key]
    keys.append(made(project(tmp_path, text + "ENV X=1\n"), kitchen).key)
    keys.append(made(project(tmp_path, text, args=(("V", "2"),)), kitchen).key)
    (tmp_path / "docker" / "a").write_text("2")
    keys.append(made(project(tmp_path, text), kitchen).key)
    kitchen.here["debian:12"] = "sha256:two"
    keys.append(made(project(tmp_path, text), kitchen).key)
    asks_for_runtime = text + "ARG LAYERKIT_RUNTIME\n"
    keys += [made(project(tmp_path, asks_for_runtime), kitchen, one).key for one in ("py312", "py39")]
    assert len(set(keys)) == len(keys) == len(kitchen.orders)


def test_without_an_engine_the_last_answer_counts(tmp_path: Path, kitchen: Kitchen) -> None:
    one = project(tmp_path, "FROM debian:12\n")
    first = made(one, kitchen)
    kitchen.connected = False
    assert made(one, kitchen) == first
    kitchen.connected, kitchen.rule = True, "wheels"
    assert made(one, kitchen) == first


def test_an_image_that_is_no_longer_on_the_engine_is_not_pulled_for_a_look(
    tmp_path: Path, kitchen: Kitchen
) -> None:
    one = project(tmp_path, "FROM debian:12\n")
    first = made(one, kitchen)
    kitchen.here.clear()
    assert made(one, kitchen) == first


def test_images_named_by_a_digest_need_no_engine_once_they_are_built(
    tmp_path: Path, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = project(tmp_path, PINNED)
    kitchen.here[f"debian@{DIGEST}"] = DIGEST
    first = made(one, kitchen)
    assert first.bases == ()
    monkeypatch.setattr(Kitchen, "look", lambda _: pytest.fail("the engine was asked"))
    assert made(one, kitchen) == first


def test_an_unknown_image_is_pulled_and_then_known(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.registry["debian:13"] = "sha256:new"
    layer = made(project(tmp_path, "FROM debian:13\n"), kitchen)
    assert layer.bases == (("debian:13", "sha256:new"),)
    assert "pulled debian:13" in kitchen.told


def test_offline_nothing_is_pulled_and_no_step_has_a_network(tmp_path: Path, kitchen: Kitchen) -> None:
    with pytest.raises(EngineError, match="nothing may be pulled"):
        made(project(tmp_path, "FROM debian:13\n"), kitchen, offline=True)
    made(project(tmp_path, "FROM debian:12\n"), kitchen, offline=True)
    assert [order.network for order in kitchen.orders] == ["none"]


@pytest.mark.parametrize(
    ("rule", "connected", "error"), [("wheels", True, UsageError), ("auto", False, EngineError)]
)
def test_what_was_never_built_needs_an_engine(
    tmp_path: Path, kitchen: Kitchen, rule: str, *, connected: bool, error: type[Exception]
) -> None:
    kitchen.rule, kitchen.connected = rule, connected
    for text in ("FROM debian:12\n", PINNED):
        with pytest.raises(error):
            made(project(tmp_path, text), kitchen)


def test_a_run_that_rotted_is_made_anew(tmp_path: Path, kitchen: Kitchen) -> None:
    one = project(tmp_path, "FROM debian:12\n")
    first = made(one, kitchen)
    first.path.write_bytes(first.path.read_bytes()[:-1] + b"?")
    second = made(one, kitchen)
    assert len(kitchen.orders) == 2
    assert contents(second, tmp_path) == kitchen.files


def test_nothing_is_kept_of_what_no_layer_can_hold(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.files = {"../etc/passwd": b"x"}
    one = project(tmp_path, "FROM debian:12\n")
    with pytest.raises(BuildError, match="does not lie in /opt"):
        made(one, kitchen)
    assert not [path for path in (tmp_path / "store" / KIND).rglob("*") if path.is_file()]


def test_an_argument_that_the_dockerfile_does_not_have_is_told(tmp_path: Path, kitchen: Kitchen) -> None:
    with pytest.raises(ConfigError, match="has no ARG VERSOIN"):
        made(project(tmp_path, "ARG VERSION\nFROM debian:12", args=(("VERSOIN", "1"),)), kitchen)


def test_the_log_is_beside_the_locks(tmp_path: Path, kitchen: Kitchen) -> None:
    one = project(tmp_path, "FROM debian:12\n")
    made(one, kitchen)
    log = one.lock_folder / "logs" / "python3.12-x86_64-sys.log"
    assert log.read_text() == "a step\n"
