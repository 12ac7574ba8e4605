"""The stacks whose cold starts are measured, built in each of the ways that a function can have them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import tomli_w
from msgspec import Struct
from msgspec.structs import replace

from lambda_like import Function
from layerkit.build import build_target
from layerkit.lock.places import uv_binary
from layerkit.progress import progress
from layerkit.session import open_session
from layerkit.target import target
from real import here, interpreter
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerkit.layer.manifest import Manifest
    from layerkit.target import Target

# What other tools put into the function's code, in our words: one thread, a fixed path, modes lost.
_EXTRACTALL = """\
import os, sys, zipfile
folder, part = "/tmp/sls-py-req", "/tmp/_temp-sls-py-req"
if not os.path.exists(folder):
    zipfile.ZipFile(os.path.join(os.environ["LAMBDA_TASK_ROOT"], ".requirements.zip")).extractall(part)
    os.rename(part, folder)
sys.path.append(folder)
"""
_OURS = frozenset({"layerkit-loader", "backports-zstd", "pyzstd"})
_CPU_WHEEL = re.compile(r"torch-([^-]+)-cp(3)(\d+)-cp\d+-manylinux_(\d+)_(\d+)_\w+\.whl")


class Stack(Struct, frozen=True, kw_only=True):
    """A stack: what is asked for, what a function imports of it, and one package of it for lazy mode.

    `promise` is how many times sooner the bundle starts than the nested zip.
    """

    name: str
    roots: tuple[str, ...]
    imports: str
    one: str
    on: Target
    promise: float


class Way(Struct, frozen=True, kw_only=True):
    """A function that has the stack in one way, and what its layers and code come to in bytes."""

    label: str
    function: Function
    zipped: int
    unzipped: int
    layers: int
    unpacked: int


def torch() -> Stack:
    """Return the stack of torch: the CPU wheel that pip's or uv's find-links has, else the index's.

    Such a wheel may want a newer glibc than the runtime has; it is taken all the same, since this
    measures how a stack of that size starts, on a machine that has it.
    """
    name, on = "torch", target("py312", here() or "x86_64")
    for place in f"{os.environ.get('UV_FIND_LINKS', '')} {os.environ.get('PIP_FIND_LINKS', '')}".split():
        folder = Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)
        for found in filter(None, map(_CPU_WHEEL.fullmatch, _names(folder))):
            if interpreter(f"{found[2]}.{found[3]}"):
                name = f"torch=={found[1]}"
                on = target(f"py{found[2]}{found[3]}", here() or "x86_64")
                on = replace(on, glibc=max(on.glibc, (int(found[4]), int(found[5]))))
                os.environ["UV_FIND_LINKS"] = str(folder)
    imports = "import torch; assert float(torch.ones(2, 2).sum()) == 4"
    return Stack(name="torch", roots=(name, "numpy"), imports=imports, one="import numpy", on=on, promise=5)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def science() -> Stack:
    """Return a second stack above the limit."""
    return Stack(
        name="science",
        roots=("pyarrow", "pandas", "scikit-learn", "numba", "scipy"),
        imports="import pyarrow, pandas, sklearn.linear_model, numba, scipy.linalg",
        one="import pyarrow",
        on=target("py312", here() or "x86_64"),
        promise=3,
    )


def build(stack: Stack, folder: Path, runtime: Path, say: Callable[[str], None]) -> list[Way]:
    """Build the stack in every way below `folder`."""
    python = interpreter(stack.on.minor)
    if python is None:
        raise SystemExit(f"{stack.name} wants Python {stack.on.minor}, which is not on this machine")
    make = _Making(stack, folder, runtime, python, say)
    bundle = make.ours("bundle", {"mode": "bundle"}, stack.imports)
    return [
        make.extractall(bundle[1]),
        make.ours("nested-zip", {"mode": "nested-zip"}, f"import unzip_requirements\n{stack.imports}")[0],
        bundle[0],
        make.ours("bundle, one package", {"mode": "bundle"}, stack.one)[0],
        make.ours("bundle, one package, lazy", {"mode": "bundle", "lazy": True}, stack.one)[0],
    ]


class _Making:
    """The making of one stack's functions."""

    def __init__(
        self, stack: Stack, folder: Path, runtime: Path, python: Path, say: Callable[[str], None]
    ) -> None:
        """Keep what every way needs."""
        self._stack, self._folder, self._runtime, self._python = stack, folder, runtime, python
        self._say = say

    def ours(self, label: str, over_limit: Mapping[str, object], handler: str) -> tuple[Way, Manifest]:
        """Build the stack by layerkit and lay out its layers."""
        folder = self._fresh(label)
        settings = {"runtimes": [self._stack.on.runtime], "layers": "auto", "over-limit": dict(over_limit)}
        declared = {"name": "stack", "version": "1.0", "dependencies": list(self._stack.roots)}
        document = {"project": declared, "tool": {"layerkit": settings}}
        (folder / "pyproject.toml").write_text(tomli_w.dumps(document))
        session = open_session(folder, talk=self._say, progress=progress(quiet=True))
        built = build_target(session, self._stack.on)
        for path in built.paths():
            unzip(path, folder / "opt")
        (one,) = built.manifest.stacks
        zips = [layer.zip for layer in built.manifest.layers]
        way = Way(
            label=f"layerkit, {label}",
            function=self._function(folder, handler),
            zipped=sum(each.zipped for each in zips),
            unzipped=one.unzipped,
            layers=len(zips),
            unpacked=one.unpacked,
        )
        return way, built.manifest

    def extractall(self, manifest: Manifest) -> Way:
        """Lay out the same versions as other tools do: a zip in the code, unpacked by the handler."""
        folder = self._fresh("extractall")
        function = self._function(folder, f"import unzip_requirements\n{self._stack.imports}")
        packages = [one for layer in manifest.layers for one in layer.packages if one.name not in _OURS]
        pins = [f"{one.name}=={one.version}" for one in packages]
        command = [
            uv_binary(),
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder / "installed"),
        ]
        subprocess.run([*command, "--python", str(self._python), *pins], check=True)
        path = function.task / ".requirements.zip"
        unpacked = 0
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((folder / "installed").rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder / "installed"))
                    unpacked += file.stat().st_size
        shutil.rmtree(folder / "installed")
        (function.task / "unzip_requirements.py").write_text(_EXTRACTALL)
        size = path.stat().st_size
        return Way(
            label="nested zip, extractall",
            function=function,
            zipped=size,
            unzipped=size,
            layers=0,
            unpacked=unpacked,
        )

    def _fresh(self, label: str) -> Path:
        folder = self._folder / self._stack.name / label.replace(", ", "-").replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "task").mkdir(parents=True)
        (folder / "opt").mkdir()
        return folder

    def _function(self, folder: Path, handler: str) -> Function:
        """Return the function whose handler imports what it is to import."""
        (folder / "task" / "app.py").write_text(
            f"{handler}\n\n\ndef handler(event, context):\n    return event\n"
        )
        return Function(
            target=self._stack.on,
            opt=folder / "opt",
            task=folder / "task",
            runtime=self._runtime,
            python=self._python,
            tmp=self._folder / "tmp",
        )
