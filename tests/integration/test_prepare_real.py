"""Wheels as they are published, prepared, hold what pip installs: file by file, with listed differences."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from layerkit.archive import Run, compose
from layerkit.prepare import PreparedWheel, prepare
from layerkit.scripts import PLACEHOLDER
from layerkit.settings import Settings
from layerkit.store import Store
from layerkit.target import Layout, Target, target
from layerkit.wheel import Wheel, dependencies, file_sha256

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not in this environment"),
]

# One of each kind: data files, headers and extensions, scripts that are programs, commands, a .pth.
PACKAGES = [
    "greenlet",
    "jsonschema",
    "jupyterlab_widgets",
    "markupsafe",
    "numpy",
    "pyyaml",
    "ruff",
    "setuptools",
    "six",
]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
TARGETS = [target("py312"), target("py39", "arm64")]
# What pip writes about itself, and RECORD, which names other paths.
OF_INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


def pip_flags(on: Target) -> list[str]:
    """Return the arguments that make pip choose what fits the target, and nothing else."""
    flags = ["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", on.minor]
    for platform in on.platforms():
        flags += ["--platform", platform]
    return flags


@pytest.fixture(scope="module", params=TARGETS, ids=lambda on: on.key)
def on(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


@pytest.fixture(scope="module")
def wheels(on: Target, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp(on.short)
    subprocess.run([*PIP, "download", "--dest", folder, *pip_flags(on), *PACKAGES], check=True, timeout=600)
    return sorted(folder.glob("*.whl"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def installed(wheels: list[Path], on: Target, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what pip lays down for the wheels, by path."""
    folder = tmp_path_factory.mktemp("pip")
    arguments: list[str | Path] = ["install", "--target", folder, "--no-compile", "--ignore-requires-python"]
    subprocess.run([*PIP, *arguments, *pip_flags(on), *wheels], check=True, timeout=600)
    return files_of(folder)


def unzipped(prepared: list[PreparedWheel], site: str, path: Path) -> dict[str, bytes]:
    """Return what a layer of the prepared wheels holds, with the paths that `pip install --target` gives."""
    compose(path, [Run.open(each.path) for each in prepared])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name.removeprefix(f"{site}/"): archive.read(name) for name in archive.namelist()}


def comparable(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out what differs by intention; launchers and scripts are compared by name alone."""
    found: dict[str, bytes] = {}
    for path, content in files.items():
        about_installing = ".dist-info/" in path and path.rpartition("/")[2] in OF_INSTALLERS
        if about_installing or "__pycache__" in path:
            continue
        written = path.startswith("bin/") and content.startswith(b"#!")
        # pip names the folder of headers after the environment that it runs in
        place = "include/" + "/".join(path.split("/")[-2:]) if path.startswith("include/") else path
        found[place] = PLACEHOLDER if written else content
    return found


@pytest.mark.parametrize("layout", ["versioned", "flat"])
def test_prepared_wheels_hold_what_pip_installs(
    wheels: list[Path], installed: dict[str, bytes], on: Target, layout: Layout, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    assert len(wheels) == len(PACKAGES)
    prepared = [
        prepare(path, path.name, file_sha256(path), on, store, Settings(layout=layout)) for path in wheels
    ]
    ours = comparable(unzipped(prepared, on.site_packages(layout), tmp_path / "layer.zip"))
    theirs = comparable(installed)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_real_metadata_gives_dependencies(wheels: list[Path], on: Target) -> None:
    found = {w.name: dependencies(w.metadata, on) for w in (Wheel.open(path, path.name) for path in wheels)}
    assert {each.name for each in found["jsonschema"] if not each.extra} >= {
        "attrs",
        "referencing",
        "rpds-py",
    }
    assert "format" in {each.extra for each in found["jsonschema"]}
    assert found["six"] == ()
