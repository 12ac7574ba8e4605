"""Layers of real packages work: their modules can be imported, their commands run.

The interpreter that a layer was built for sees the layer and its own standard library only; neither
the packages of its environment nor those of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from layerkit.errors import UsageError
from layerkit.target import target
from real import Workshop, glibc, here, interpreter, run, write_project
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.target import Target

pytestmark = pytest.mark.integration

ROOTS = ["numpy", "pandas", "pydantic", "cryptography", "pyyaml", "pygments", "charset-normalizer"]
RUNTIMES = ["py37", "py38", "py39", "py310", "py311", "py312", "py313", "py314"]
# Commands that say something of themselves and end well, with what they must say.
COMMANDS = {"pygmentize": ("-V", "Pygments version"), "f2py": ("-v", "")}

# As on Lambda, the layer comes first; with -I -S nothing else but the standard library follows.
_IMPORT = """\
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
places = {}
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    places[name] = getattr(module, "__file__", None) or list(module.__path__)[0]
print(json.dumps(places))
"""
# Everything of a script but its last call: what it imports is there.
_LOAD = "import runpy, sys; sys.argv[0] = sys.argv[1]; runpy.run_path(sys.argv[1], run_name='loaded')"


class Unzipped(Struct, frozen=True, kw_only=True):
    """A layer on disk as Lambda would mount it, and the interpreter that it was built for."""

    folder: Path
    on: Target
    python: Path
    modules: tuple[str, ...]

    def run(self, *arguments: str | Path) -> str:
        """Run the interpreter without the environment that the tests run in."""
        environment = {"PATH": os.defpath, "HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return run([self.python, "-I", "-S", "-B", *arguments], environment, cwd=self.folder)


@pytest.fixture(scope="module", params=RUNTIMES)
def layer(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[Unzipped]:
    """Give the layer of the set for one runtime, built for this machine and unzipped."""
    on, python = runs_here(request.param)
    project = write_project(workshop.folder / f"imports-{on.short}", {"all": ROOTS}, on)
    (built,) = workshop.layerkit("build", project)["targets"]
    manifest = json.loads(Path(built["manifest"]).read_text())
    folder = project / "opt"
    (path,) = built["zips"]
    unzip(Path(path), folder)
    (described,) = manifest["layers"]
    modules = {name for package in described["packages"] for name in package["modules"]}
    yield Unzipped(folder=folder, on=on, python=python, modules=tuple(sorted(modules)))
    shutil.rmtree(project)


def runs_here(runtime: str) -> tuple[Target, Path]:
    """Return the target of a runtime for this machine and an interpreter of its version, or skip."""
    arch = here()
    if arch is None:
        pytest.skip("Lambda has no machine like this one")
    try:
        on = target(runtime, arch)
    except UsageError as error:
        pytest.skip(error.what)
    if glibc() < on.glibc:
        pytest.skip(f"wheels for {on.key} want glibc {on.glibc}, and here is {glibc()}")
    python = interpreter(on.minor)
    if python is None:
        pytest.skip(f"there is no Python {on.minor} on this machine")
    return on, python


def test_every_module_of_the_manifest_can_be_imported(layer: Unzipped) -> None:
    site = layer.folder / layer.on.site_packages("versioned")
    assert {"numpy", "pandas", "pydantic", "cryptography", "yaml"} <= set(layer.modules)
    places = json.loads(layer.run("-c", _IMPORT, site, *layer.modules))
    assert tuple(sorted(places)) == layer.modules
    for name, place in places.items():
        assert site in Path(place).parents, f"{name} came from elsewhere"


def test_every_command_finds_what_it_runs(layer: Unzipped) -> None:
    scripts = sorted((layer.folder / "bin").iterdir())
    assert {"pygmentize", "f2py", "normalizer"} <= {path.name for path in scripts}
    for path in scripts:
        assert path.stat().st_mode & 0o777 == 0o755
        assert path.read_text().splitlines()[0] == f"#!{layer.on.interpreter}"
        layer.run("-c", _LOAD, path)
    for name, (argument, says) in COMMANDS.items():
        said = layer.run(layer.folder / "bin" / name, argument)
        assert said.strip()
        assert says in said


def test_importlib_metadata_reads_the_layer(layer: Unzipped) -> None:
    if layer.on.minor == "3.7":
        pytest.skip("importlib.metadata came with Python 3.8")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from importlib.metadata import distribution, files\n"
        "missing = [str(f) for f in files('numpy') if not f.locate().exists()]\n"
        "print(distribution('numpy').version, missing)"
    )
    said = layer.run("-c", code, layer.folder / layer.on.site_packages("versioned"))
    assert said.strip().endswith(" []")
