"""Locks, projects and sizes made to order, so that a test of planning reads as what it plans."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.lock import Lock, LockedPackage, SdkDecision, WheelRef
from layerkit.metadata import Dependency
from layerkit.plan import Plan, plan
from layerkit.project import LayerSpec, Project, Requirement, Stack
from layerkit.target import Target, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layerkit.lock import SdkMode

PY312 = target("3.12")
_DEPENDENCY = re.compile(r"([\w.-]+)(?:\[([^\]]*)\])?([^;]*?)(?:\s*;\s*(\S+))?")


# What four well-known packages require, as far as it matters here.
PANDAS = {
    "numpy 2.2": [],
    "pandas 2.3": ["numpy>=1.26", "python-dateutil>=2.8", "pyarrow>=10 ; parquet", "fsspec ; parquet"],
    "pyarrow 20.0": [],
    "fsspec 2026.1": [],
    "python-dateutil 2.9": ["six>=1.5"],
    "six 1.17": [],
}
SDK = {
    "boto3 1.42.97": ["botocore<1.43", "jmespath<2", "s3transfer<1"],
    "botocore 1.42.97": ["jmespath<2", "python-dateutil<3", "urllib3<3", "awscrt==0.31 ; crt"],
    "jmespath 1.1": [],
    "s3transfer 0.16": ["botocore<2"],
    "python-dateutil 2.9": ["six>=1.5"],
    "six 1.17": [],
    "urllib3 2.6": [],
    "awscrt 0.31": [],
}
REQUESTS = {"requests 2.32": ["urllib3<3", "idna"], "idna 3.11": []}


class Size(Struct, frozen=True):
    """The sizes of a prepared wheel, in bytes."""

    zipped: int = 1
    unzipped: int = 1
    compiled: int = 0


def dependency(text: str) -> Dependency:
    """Return `name[extra,...]>=1 ; extra-that-brings-it` as a value."""
    found = _DEPENDENCY.fullmatch(text)
    assert found, text
    extras = tuple(found[2].split(",")) if found[2] else ()
    return Dependency(name=found[1], specifier=found[3].strip(), extras=extras, extra=found[4] or "")


def package(text: str, requires: Iterable[str] = ()) -> LockedPackage:
    """Return `name 1.2` as a locked package; the version is 1.0 where none is said."""
    name, _, version = text.partition(" ")
    version = version or "1.0"
    wheel = WheelRef(filename=f"{name.replace('-', '_')}-{version}-py3-none-any.whl", sha256="0" * 64)
    return LockedPackage(name=name, version=version, wheel=wheel, requires=tuple(map(dependency, requires)))


def lock(
    packages: Mapping[str, Iterable[str]], *, sdk: SdkMode = "runtime", reason: str = "", on: Target = PY312
) -> Lock:
    """Return a lock of `name version` -> requirements."""
    return Lock(
        target=on,
        packages=tuple(package(text, requires) for text, requires in packages.items()),
        sdk=SdkDecision(mode=sdk, reason=reason or f"the test says {sdk}"),
        inputs="",
        path=Path("/project/.layerkit/pylock.py312-x86_64.toml"),
        digest="",
    )


def root(text: str) -> Requirement:
    """Return `name[extra] ; marker` as a requirement of the project."""
    wanted, _, marker = (part.strip() for part in text.partition(";"))
    found = dependency(wanted)
    return Requirement(
        text=text, name=found.name, extras=found.extras, marker=marker or None, origin="requirements.txt:1"
    )


def project(
    layers: Mapping[str, Sequence[str]], stacks: Mapping[str, Sequence[str]] | None = None, **more: Any
) -> Project:
    """Return a project of layer -> roots and stack -> layers (default: one stack of all layers)."""
    stacks = {"demo": [*layers]} if stacks is None else stacks
    wheel_only = more.pop("wheel_only", ())
    divided = more.pop("divided", ())
    return Project(
        name="demo",
        version="1.0",
        root=Path("/project"),
        file=Path("/project/pyproject.toml"),
        layers=tuple(
            LayerSpec(
                name=name,
                requirements=tuple(map(root, roots)),
                project="wheel-only" if name in wheel_only else "none",
                divided=name in divided,
            )
            for name, roots in layers.items()
        ),
        stacks=tuple(Stack(name=name, layers=tuple(names)) for name, names in stacks.items()),
        output=Path("/project/dist/layers"),
        lock_folder=Path("/project/.layerkit"),
        **more,
    )


def planned(
    project: Project,
    lock: Lock,
    sizes: Mapping[str, Size] | None = None,
    code: Mapping[str, int] | None = None,
    before: Mapping[str, frozenset[str]] | None = None,
) -> Plan:
    """Return the plan; packages without a size count one byte."""
    every = {package.name: Size() for package in lock.packages}
    return plan(project, lock, every | dict(sizes or {}), code or {}, before or {})


def held(plan: Plan) -> dict[str, set[str]]:
    """Return the packages of each layer."""
    return {layer.name: set(layer.packages) for layer in plan.layers}


def left(plan: Plan) -> dict[str, str]:
    """Return the reason for each package that is left out."""
    return {each.name: each.reason for each in plan.left_out}
