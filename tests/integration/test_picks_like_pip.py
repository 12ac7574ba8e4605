"""The wheels that layerkit chooses for names without versions are those that pip would choose there.

"There" is the runtime: pip gets every platform tag of the target in its order, the full version of
its Python, its markers, and the SDK that layerkit pins because the runtime brings it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from layerkit.target import target
from real import Workshop, locked_packages, pip_flags, wheels_of, write_project

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.target import Target

pytestmark = pytest.mark.integration


class Case(Struct, frozen=True, kw_only=True):
    """A target with its glibc, roots, and a tag that is only chosen where the order is the runtime's.

    cryptography 37 has wheels for glibc 2.12, 2.17 and 2.24, today's for 2.28 and 2.34 as well.
    """

    runtime: str
    roots: str
    shows: str
    arch: str = "x86_64"


CASES = (
    Case(
        runtime="py37",
        roots="numpy pandas cryptography<38 pydantic pyyaml fastapi httpx",
        shows="manylinux_2_17_x86_64",
    ),
    Case(
        runtime="py39",
        roots="fastapi pydantic mangum httpx requests cryptography<38 pyyaml",
        shows="manylinux_2_24_x86_64",
    ),
    Case(
        runtime="py39",
        roots="numpy requests cryptography<38 pyyaml",
        arch="arm64",
        shows="manylinux_2_24_aarch64",
    ),
    Case(
        runtime="py311",
        roots="numpy pandas pydantic cryptography<38 pyyaml",
        shows="manylinux_2_24_x86_64",
    ),
    Case(
        runtime="py311",
        roots="numpy pandas scipy scikit-learn",
        arch="arm64",
        shows="manylinux_2_17_aarch64",
    ),
    Case(
        runtime="py312",
        roots="numpy pandas scipy scikit-learn pydantic cryptography requests",
        shows="manylinux_2_34_x86_64",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.runtime}-{case.arch}")
def test_layerkit_chooses_the_wheels_that_pip_chooses(case: Case, workshop: Workshop, tmp_path: Path) -> None:
    on = target(case.runtime, case.arch)
    project = write_project(tmp_path / "project", {"all": case.roots.split()}, on)
    (locked,) = workshop.layerkit("lock", project)["targets"]
    assert locked["sdk"]["mode"] == "runtime", locked["sdk"]["reason"]
    chosen = chosen_by_layerkit(project, on)
    assert chosen == chosen_by_pip(case.roots.split(), on, workshop, tmp_path)
    assert any(case.shows in name for name in chosen)


def chosen_by_layerkit(project: Path, on: Target) -> list[str]:
    """Return the file names of the wheels in the lock, sorted."""
    return sorted(package["wheels"][0]["name"] for package in locked_packages(project, on).values())


def chosen_by_pip(roots: list[str], on: Target, workshop: Workshop, folder: Path) -> list[str]:
    """Return the file names of the wheels that pip would install on the runtime, sorted."""
    assert on.sdk is not None
    pinned = [f"boto3=={on.sdk.boto3}", f"botocore=={on.sdk.botocore}"]
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(pinned))
    arguments = ["install", "--quiet", "--dry-run", "--report", "-", "--ignore-installed"]
    arguments += ["--target", str(folder / "nowhere"), "--constraint", str(constraints), *pip_flags(on)]
    report = json.loads(workshop.run_pip(*arguments, *roots, "boto3", "botocore", on=on))
    # Had pip read the markers of the interpreter that runs it, it would have chosen for that one.
    assert report["environment"]["python_full_version"] == on.python
    assert report["environment"]["platform_machine"] == on.machine
    return wheels_of(report)


def test_a_newer_glibc_is_not_taken_and_the_older_version_is_said(workshop: Workshop, tmp_path: Path) -> None:
    """numpy 2.3 and later for Python 3.11 have wheels for glibc 2.27 and 2.28 only; the runtime has 2.26."""
    from packaging.version import Version

    on = target("py311")
    project = write_project(tmp_path / "project", {"all": ["numpy"]}, on)
    (locked,) = workshop.layerkit("lock", project)["targets"]
    (numpy,) = (name for name in chosen_by_layerkit(project, on) if name.startswith("numpy-"))
    version = numpy.split("-")[1]
    assert "manylinux_2_17_x86_64" in numpy
    newest = Version("2.3.0")
    assert Version(version) < newest
    (note,) = (note for note in locked["notes"] if note.startswith(f"numpy {version}: "))
    assert "has no wheel that fits python3.11-x86_64 (glibc 2.26)" in note
    said = note.split("the newest version, ")[1].partition(",")[0]
    assert Version(said) >= newest
