"""A project whose layers were built, ready to be published, without resolving anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
from msgspec.structs import replace

import small
from layerkit.built import manifest_path
from layerkit.cli import run
from layerkit.layer import manifest as manifests
from layerkit.layer.manifest import TargetRef
from layerkit.schemas import schema
from layerkit.target import target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from layerkit.layer.manifest import Manifest

BASE, WEB = "py312-small-1-2-base", "py312-small-1-2-web"
_PYPROJECT = """
[project]
name = "small"
version = "1.2"

[tool.layerkit]
runtimes = ["python3.12"]
{settings}

[tool.layerkit.layers]
base = ["six"]
web = ["flask"]
hollow = ["six"]

[tool.layerkit.functions.api]
layers = ["base", "web", "hollow"]
code = "src"

{more}
"""


class Shop:
    """The project's folder, its manifest, and the command line run in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Build it in `root`, which is made."""
        built = small.build(root)
        self.root, self.project, self._capsys = root, built.project, capsys
        self.manifest_path = manifest_path(built.project, small.TARGET)
        self.manifest = built.manifest
        manifests.write(built.manifest, self.manifest_path)
        self.configure()

    def configure(self, more: str = "", settings: str = "") -> None:
        """Write its pyproject.toml, with more tables."""
        (self.root / "pyproject.toml").write_text(_PYPROJECT.format(more=more, settings=settings))

    def change(self, change: Callable[[Manifest], Manifest]) -> None:
        """Change its manifest."""
        self.manifest = change(self.manifest)
        manifests.write(self.manifest, self.manifest_path)

    def also_for(self, runtime: str, arch: str) -> None:
        """Lay the same zips down as those of another target."""
        other = target(runtime, arch)
        path = manifest_path(self.project, other)
        path.parent.mkdir(parents=True)
        for one in self.manifest.zips():
            (path.parent / one.file).write_bytes((self.manifest_path.parent / one.file).read_bytes())
        ref = TargetRef(runtime=other.runtime, arch=other.arch, python=other.python, glibc="2.34")
        manifests.write(replace(self.manifest, target=ref), path)

    def zip(self, layer: str) -> bytes:
        """Return the zip of a layer."""
        return self.zip_path(layer).read_bytes()

    def zip_path(self, layer: str) -> Path:
        """Return where the zip of a layer lies."""
        (found,) = [one.zip.file for one in self.manifest.layers if one.name == layer]
        return self.manifest_path.parent / found

    def run(self, command: str, *arguments: str) -> Said:
        """Run a command of layerkit on it."""
        self._capsys.readouterr()
        code = run([command, *arguments, "--project", str(self.root)])
        out, err = self._capsys.readouterr()
        return Said(code, out, err)

    def publish(self, *arguments: str) -> Said:
        """Publish it."""
        return self.run("publish", *arguments)

    def record(self) -> dict[str, Any]:
        """Return the record of what is where."""
        path = self.root / "dist" / "layers" / "small-1.2-published.json"
        return _valid(json.loads(path.read_text()))


def _valid(found: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(found, schema(found["schema"].split("/")[1]))
    return found


class Said:
    """What a command ended with."""

    def __init__(self, code: int, out: str, err: str) -> None:
        """Keep it."""
        self.code, self.out, self.err = code, out, err

    def json(self) -> dict[str, Any]:
        """Return the document on stdout, which its schema has let pass."""
        return _valid(json.loads(self.out))

    def statuses(self) -> list[str]:
        """Return the statuses of the layers, in order."""
        return [row["status"] for row in self.json()["layers"]]
