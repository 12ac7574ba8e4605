"""A layer, unzipped, is what `pip install --target` lays down: file by file, byte by byte, mode by mode.

What may differ is listed in side_by_side.py; a file that is missing, extra or other fails.
Which packages are in the layers at all is checked against what the lock says of dependencies.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from layerkit.target import sdk_set, target
from real import Workshop, locked_packages, write_project
from side_by_side import Laid, assert_same, install

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

pytestmark = pytest.mark.integration

# Layer -> roots. Two layers where the set in one would come near to what a function may hold.
SETS: dict[str, dict[str, str]] = {
    "data": {"frames": "numpy pandas", "models": "scipy scikit-learn"},
    "web": {"web": "fastapi pydantic mangum httpx"},
    "sdk": {"sdk": "boto3 requests aws-lambda-powertools pyyaml cryptography"},
    "big": {"arrow": "pyarrow", "tables": "pandas s3fs fastparquet"},
    "many": {
        "many": """
            arrow asgiref attrs babel beautifulsoup4 blinker boltons bottle cachetools cattrs click
            cloudpickle colorama croniter decorator defusedxml distro dnspython docutils email-validator
            filelock fsspec httpx humanize idna inflection iso8601 isodate itsdangerous jmespath
            jsonpointer loguru markdown marshmallow mistune more-itertools natsort networkx oauthlib
            packaging pathspec platformdirs ply prometheus-client pyasn1 pycparser pygments pyjwt pyparsing
            python-dateutil python-dotenv pytz rich semver six sortedcontainers soupsieve sqlparse structlog
            tabulate tenacity tomli-w tomlkit toolz tqdm typing-extensions tzdata tzlocal uritemplate
            urllib3 voluptuous websocket-client xmltodict zipp
        """
    },
}


class Case(Struct, frozen=True, kw_only=True):
    """One comparison: a set on a target, and why this one is worth its time."""

    set: str
    runtime: str
    why: str
    arch: str = "x86_64"
    sdk: str = "auto"

    @property
    def name(self) -> str:
        """Return what the test is called."""
        return f"{self.set}-{self.runtime}-{self.arch}-{self.sdk}"


CASES = (
    Case(set="data", runtime="py312", why="Compiled packages with libraries of their own, at glibc 2.34."),
    Case(set="web", runtime="py312", why="Commands, and an extension written in Rust."),
    Case(set="sdk", runtime="py312", sdk="bundle", why="The whole SDK in the layer, as pip has it."),
    Case(set="sdk", runtime="py312", why="The same without what the runtime brings, and nothing else."),
    Case(
        set="big", runtime="py312", why="The largest wheels there are; aiobotocore forces its own botocore."
    ),
    Case(set="many", runtime="py312", why="Pure packages of every build backend, some with data files."),
    Case(set="big", runtime="py37", why="A pyarrow with an empty folder whose name ends in a dot."),
    Case(
        set="data",
        runtime="py37",
        why="The m in cp37m, glibc 2.17, names such as manylinux1, old setuptools.",
    ),
    Case(set="web", runtime="py37", why="Pure packages as they were written years ago."),
    Case(set="web", runtime="py39", why="glibc 2.26, for which no platform of uv exists, on x86_64."),
    Case(set="sdk", runtime="py39", arch="arm64", why="glibc 2.26 on arm64, beside an SDK of 2022."),
    Case(set="data", runtime="py311", arch="arm64", why="glibc 2.26 where the newest wheels want more."),
    Case(set="web", runtime="py311", why="The newest Python of glibc 2.26."),
    Case(set="web", runtime="py314", why="The newest Python."),
    Case(
        set="sdk", runtime="py314", arch="arm64", sdk="bundle", why="abi3 wheels, the newest Python, arm64."
    ),
)


# What makes a layer other than what pip lays out; each step has its own proof.
UNTOUCHED = {"slim": False, "strip": False, "bytecode": False}

# Where the comparison itself is tried.
SMALL = target("py312")
SITE = SMALL.site_packages("versioned")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_holds_what_pip_installs(case: Case, workshop: Workshop) -> None:
    on = target(case.runtime, case.arch)
    folder = workshop.folder / case.name
    layers = {name: roots.split() for name, roots in SETS[case.set].items()}
    project = write_project(folder, layers, on, sdk=case.sdk, **UNTOUCHED)
    built = workshop.layerkit("build", project)["targets"][0]
    planned = workshop.layerkit("plan", project)["targets"][0]
    manifest = json.loads(project.joinpath(built["manifest"]).read_text())
    locked = locked_packages(project, on)
    assert_left_out(case, manifest, planned, locked)
    held = {package["name"] for layer in manifest["layers"] for package in layer["packages"]}
    laid = install([locked[name] for name in sorted(held)], on, workshop, folder)

    place = project.joinpath(built["manifest"]).parent
    assert [str(place / layer["zip"]["file"]) for layer in manifest["layers"]] == built["zips"]
    for layer in manifest["layers"]:
        names = [package["name"] for package in layer["packages"]]
        assert_same(place / layer["zip"]["file"], names, laid, on, workshop)
    shutil.rmtree(folder)
    shutil.rmtree(workshop.store / "prepared")  # untouched wheels help no other test, and are a gigabyte


@pytest.fixture(scope="module")
def small(workshop: Workshop) -> tuple[Path, list[str], Laid]:
    """Give the zip of a small layer, the names of its packages, and what pip lays down for them."""
    folder = workshop.folder / "small"
    project = write_project(folder, {"small": ["pygments", "pyyaml"]}, SMALL, **UNTOUCHED)
    (built,) = workshop.layerkit("build", project)["targets"]
    names = ["pygments", "pyyaml"]
    locked = locked_packages(project, SMALL)
    (path,) = built["zips"]
    return Path(path), names, install([locked[name] for name in names], SMALL, workshop, folder)


def test_the_comparison_accepts_a_layer_as_it_is(
    small: tuple[Path, list[str], Laid], workshop: Workshop
) -> None:
    path, names, laid = small
    assert_same(path, names, laid, SMALL, workshop)


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        (f"{SITE}/yaml/loader.py", "drop", "one side alone"),
        (f"{SITE}/yaml/more.py", "add", "one side alone"),
        (f"{SITE}/yaml/loader.py", "rewrite", "another content"),
        (f"{SITE}/yaml/loader.py", "chmod", "on one side only"),
        ("bin/pygmentize", "chmod", "on one side only"),
        ("bin/pygmentize", "rewrite", "runs something else"),
        ("bin/pygmentize", "other interpreter", "runs by"),
        (f"{SITE}/pyyaml-*.dist-info/RECORD", "rewrite", "RECORD"),
        (f"{SITE}/pyyaml-*.dist-info/INSTALLER", "rewrite", "INSTALLER"),
        (f"{SITE}/pyyaml-*.dist-info/METADATA", "rewrite", "another content"),
    ],
)
def test_the_comparison_notices_every_change(
    place: str,
    change: str,
    said: str,
    small: tuple[Path, list[str], Laid],
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    path, names, laid = small
    altered = tmp_path / "altered.zip"
    assert alter(path, altered, place, change) == 1
    with pytest.raises(AssertionError, match=said):
        assert_same(altered, names, laid, SMALL, workshop)


def alter(path: Path, altered: Path, place: str, change: str) -> int:
    """Copy a zip with one change and return how many members it touched."""
    touched = 0
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(altered, "w") as copy:
        for info in archive.infolist():
            content = archive.read(info)
            if fnmatch(info.filename.lower(), place.lower()):
                touched += 1
                if change == "drop":
                    continue
                if change == "rewrite":
                    content = content.replace(b"main", b"name") + b"#\n"
                if change == "other interpreter":
                    content = content.replace(b"python3.12\n", b"python3.11\n", 1)
                if change == "chmod":
                    info.external_attr ^= 0o111 << 16
            copy.writestr(info, content)
        if change == "add":
            copy.writestr(place, b"")
            touched += 1
    return touched


def assert_left_out(
    case: Case, manifest: dict[str, Any], planned: dict[str, Any], locked: dict[str, dict[str, Any]]
) -> None:
    """What the roots bring and no layer holds, is what the plan leaves out: the runtime's SDK, or nothing."""
    held = {one["name"]: one["version"] for layer in manifest["layers"] for one in layer["packages"]}
    left_out = {one["name"]: one["version"] for one in planned["left_out"]}
    assert {one["name"]: one["version"] for one in manifest["left_out"]} == left_out
    assert (held | left_out).items() <= {(name, one["version"]) for name, one in locked.items()}
    brought = reached(" ".join(SETS[case.set].values()).split(), locked)
    if manifest["sdk"]["mode"] == "bundle":
        assert left_out == {}
        assert brought <= held.keys() <= brought | sdk_set()
        assert {"boto3", "botocore", "s3transfer", "jmespath", "urllib3"} <= held.keys()
    else:
        assert case.sdk == "auto"
        assert brought - held.keys() == left_out.keys() <= sdk_set()
        assert held.keys() <= brought - {"boto3", "botocore", "s3transfer"}
    # What nothing asks for is in the lock so that all else fits the runtime's SDK.
    assert locked.keys() - brought <= sdk_set()


def reached(roots: Iterable[str], locked: Mapping[str, dict[str, Any]]) -> set[str]:
    """Return the packages that the roots bring, by the dependencies that PEP 751 has in the lock."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += [one["name"] for one in locked[name].get("dependencies", ())]
    return found
