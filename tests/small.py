"""A whole small build, from wheels made to order to zips and their manifest, without resolving anything.

    built = build(folder)     # two layers, one function with code, the SDK left to the runtime

The same call in another folder gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from factory import make_wheel
from layerkit.layer.describe import describe
from layerkit.layer.function_code import collect, write_code
from layerkit.layer.zips import compose_layers
from layerkit.lock import Lock, LockedPackage, SdkDecision, WheelRef
from layerkit.metadata import Dependency
from layerkit.plan import plan
from layerkit.prepare import prepare
from layerkit.project import FunctionSpec, LayerSpec, Project, Stack
from layerkit.project.requirement import Requirement
from layerkit.settings import Settings
from layerkit.store import Store
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.layer.manifest import Manifest
    from layerkit.plan import Plan

PREFIX = "py312-small-1.2"
TARGET = target("py312")


class Small(Struct, frozen=True, kw_only=True):
    """What the build was made from, and what it gave."""

    project: Project
    lock: Lock
    plan: Plan
    manifest: Manifest
    output: Path


def build(folder: Path) -> Small:
    """Build in `folder`, which is made."""
    project = _project(folder)
    lock = _lock(folder)
    store = Store(folder / "store")
    prepared = {
        package.name: prepare(
            folder / "wheels" / package.wheel.filename,
            package.wheel.filename,
            package.wheel.sha256,
            TARGET,
            store,
        )
        for package in lock.packages
        if package.name != "boto3"
    }
    code = collect(project.functions[0])
    assert code
    planned = plan(project, lock, prepared, {"api": code.size})
    output = project.output / TARGET.key
    layers = compose_layers(planned, prepared, output, PREFIX, project.collisions)
    zips = [write_code(code, output, PREFIX)]
    manifest = describe(
        project, lock, planned, prepared, layers, zips, settings=Settings(), notes=("built small",)
    )
    return Small(project=project, lock=lock, plan=planned, manifest=manifest, output=output)


def _project(folder: Path) -> Project:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "app.py").write_text("def handler(event, context):\n    return event\n")
    api = FunctionSpec(name="api", layers=("base", "web", "hollow"), code=folder / "src")
    return Project(
        name="small",
        version="1.2",
        root=folder,
        file=folder / "pyproject.toml",
        layers=(_layer("base", "six"), _layer("web", "flask", "boto3"), _layer("hollow", "six")),
        functions=(api,),
        stacks=(Stack(name="api", layers=api.layers), Stack(name="tool", layers=("base",))),
        runtimes=("python3.12",),
        output=folder / "dist" / "layers",
        lock_folder=folder / ".layerkit",
        notes=(f"{folder}/requirements.txt was read from {folder}, for the index https://me:secret@host/",),
    )


def _layer(name: str, *roots: str) -> LayerSpec:
    wanted = tuple(Requirement(text=root, name=root, origin="requirements.txt:1") for root in roots)
    return LayerSpec(name=name, requirements=wanted)


def _lock(folder: Path) -> Lock:
    needs = {"boto3": (), "flask": ("six", "jinja2"), "jinja2": (), "six": ()}
    return Lock(
        target=TARGET,
        packages=tuple(_package(folder, name, requires) for name, requires in needs.items()),
        sdk=SdkDecision(mode="runtime", reason="everything fits"),
        inputs="1" * 64,
        path=folder / ".layerkit" / "pylock.py312-x86_64.toml",
        digest="2" * 64,
        notes=("a note of the lock",),
    )


def _package(folder: Path, name: str, requires: tuple[str, ...]) -> LockedPackage:
    version = "1.42.97" if name == "boto3" else "3.0"
    files = {f"{name}/__init__.py": f"name = {name!r}\n" * 20} | (
        {"six.pth": "import six"} if name == "six" else {}
    )
    licence = {"License-Expression": "MIT"} if name == "flask" else None
    made = make_wheel(folder / "wheels", name, version, files=files, requires=requires, metadata=licence)
    url = f"https://me:secret@host/{made.filename}"
    ref = WheelRef(filename=made.filename, sha256=made.sha256, size=made.size, url=url)
    needs = tuple(Dependency(name=each) for each in requires)
    return LockedPackage(name=name, version=version, wheel=ref, requires=needs)
