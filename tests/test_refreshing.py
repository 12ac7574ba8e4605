from __future__ import annotations

import gc
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from fake_engine import FakeEngine
from layerkit import image_facts, refreshing
from layerkit.cli import run
from layerkit.container.inside import holdings
from layerkit.engines import Engines
from layerkit.errors import EngineError
from layerkit.refreshing import refresh
from test_image_facts import READ

if TYPE_CHECKING:
    from layerkit.image_facts import ImageFacts
    from layerkit.target import Target


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings" / "facts.json"
    monkeypatch.setenv("LAYERKIT_FACTS", str(path))
    return path


def _refreshed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: set[str], *names: str) -> list[str]:
    """Refresh on an engine on arm64, whose images hold the same but for those that are broken."""

    def held(_rooms: object, target: Target, *_: object, **__: object) -> ImageFacts:
        if target.runtime in broken:
            raise EngineError("the image cannot be pulled", where=target.runtime, fix="look at the network")
        return replace(READ, python=f"{target.minor}.99")

    said: list[str] = []
    monkeypatch.setattr(refreshing, "_held", held)
    with TemporaryDirectory(dir=tmp_path) as folder, FakeEngine(Path(folder), arch="arm64") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        try:
            with Engines(rule="auto", talk=said.append) as engines:
                refresh(engines, said.append, runtimes=names)
        except EngineError as error:
            said.append(str(error))
    return said


def test_every_supported_runtime_is_read_on_the_engines_architecture(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\n".join(_refreshed(tmp_path, monkeypatch, set()))
    assert set(image_facts.read()) == {f"python3.{minor}-arm64" for minor in (11, 12, 13, 14)}
    assert "boto3: 1.42.97 -> 9.9.8" in said
    assert "python3.12-arm64: Python 3.12.99, glibc 2.35, boto3 9.9.8, 4 packages, 1 libraries" in said
    # The second time nothing is new.
    assert "->" not in "\n".join(_refreshed(tmp_path, monkeypatch, set()))
    assert file.exists()


def test_what_was_read_is_kept_when_another_image_fails(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _refreshed(tmp_path, monkeypatch, set(), "python3.13")
    said = _refreshed(tmp_path, monkeypatch, {"python3.12"}, "python3.12", "python3.14")
    assert said[-1] == "python3.12: the image cannot be pulled\n  look at the network"
    assert set(image_facts.read()) == {"python3.13-arm64", "python3.14-arm64"}
    before = file.read_bytes()
    said = _refreshed(tmp_path, monkeypatch, {"python3.12", "python3.13"}, "python3.12", "python3.13")
    assert "2 of 2 images could not be read: the image cannot be pulled" in said[-1]
    assert file.read_bytes() == before


@pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning"
)  # the SDK's, of what it could not connect
def test_without_an_engine_nothing_is_written(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert run(["runtimes", "--refresh"]) == 11
    assert "no container engine answers" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    monkeypatch.setenv("LAYERKIT_ENGINE", "wheels")
    assert run(["runtimes", "--refresh", "--json"]) == 2
    assert not file.exists()


def test_packages_and_libraries_are_found_without_importing_anything(tmp_path: Path) -> None:
    first, second, libraries = tmp_path / "first", tmp_path / "second", tmp_path / "lib64"
    for folder, name, text in (
        (
            first,
            "boto3-1.dist-info",
            "Metadata-Version: 2.1\r\nName: boto3\r\nVersion: 1.0\r\n\r\nVersion: 9",
        ),
        (second, "boto3-2.dist-info", "Name: boto3\nVersion: 2.0\n"),
        (second, "Old_One-1.dist-info", "Name: Old_One\nVersion: 0.1\n"),
        (second, "broken-1.dist-info", "Version: 0.1\n"),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "METADATA").write_bytes(text.encode())
    (second / "egg.egg-info").mkdir()
    (second / "egg.egg-info" / "PKG-INFO").write_text("Name: egg\nVersion: 3\n")
    (second / "empty-1.dist-info").mkdir()
    libraries.mkdir()
    for name in ("libz.so.1", "libm-2.26.so", "ld-linux-x86-64.so.2", "libz.a", "readme.so.txt"):
        (libraries / name).write_text("")
    plan = {"packages": [str(first), str(second), "/no/such"], "libraries": [str(libraries), "/no/such"]}
    assert holdings.main(plan) == {
        "packages": {"boto3": "1.0", "Old_One": "0.1", "egg": "3"},
        "libraries": ["ld-linux-x86-64.so.2", "libm-2.26.so", "libz.so.1"],
    }
