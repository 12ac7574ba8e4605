"""Source archives that build into something worth looking at, and a project that requires them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from factory import make_sdist, make_wheel
from layerkit.container.engine import OWNER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from docker import DockerClient

    from stand_ins import StandIns

_MODULE = """
#include <Python.h>
{include}
static PyObject *answer(PyObject *self, PyObject *arguments) {{ {body} }}
static PyMethodDef methods[] = {{{{"answer", answer, METH_NOARGS, ""}}, {{NULL}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{name}", NULL, -1, methods}};
PyMODINIT_FUNC PyInit_{name}(void) {{ return PyModule_Create(&module); }}
"""
_SETUP = """
from setuptools import Extension, setup
{first}
module = Extension("{name}", ["{name}.c"], libraries={libraries})
setup(name="{name}", version="{version}", ext_modules=[module])
"""


def extension(
    folder: Path,
    name: str = "cext",
    version: str = "1.0",
    *,
    body: str = "return PyLong_FromLong(42);",
    include: str = "",
    libraries: Sequence[str] = (),
    first: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a source archive with one extension module whose `answer()` runs `body`.

    `first` are lines of setup.py that run before all else.
    """
    code = _MODULE.format(name=name, body=body, include=include)
    setup = _SETUP.format(name=name, version=version, libraries=list(libraries), first=first)
    return make_sdist(folder, name, version, {"setup.py": setup, f"{name}.c": code, **(files or {})})


def pure(
    folder: Path, name: str, first: str, version: str = "1.0", files: Mapping[str, str] | None = None
) -> Path:
    """Write a source archive of one Python module; `first` are lines that setup.py begins with."""
    called = f"setup(name={name!r}, version={version!r}, py_modules=[{name!r}])"
    setup = f"from setuptools import setup\n{first}\n{called}\n"
    return make_sdist(folder, name, version, {"setup.py": setup, f"{name}.py": "", **(files or {})})


def fetch_tools(folder: Path) -> None:
    """Download what builds with setuptools take, for the Pythons of the stand-ins."""
    for python in ("3.9", "3.12"):
        subprocess.run(
            [sys.executable, "-m", "pip", "--quiet", "download", "--dest", folder, "--only-binary", ":all:",
             "--python-version", python, "pip", "setuptools"],
            check=True,
        )  # fmt: skip


def serve_sdk(wheels: Path) -> None:
    """Serve an SDK that fits every runtime here, and takes no time."""
    for version in ("1.42.97", "1.40.4", "1.34.145", "1.34.93"):
        make_wheel(wheels, "boto3", version, requires=[f"botocore=={version}"])
        make_wheel(wheels, "botocore", version)


class Workshop(Struct, frozen=True, kw_only=True):
    """A project, the index it is built from, an engine with stand-ins, and the environment of a build."""

    root: Path
    wheels: Path
    store: Path
    engine: DockerClient
    stand_ins: Mapping[str, StandIns]
    processes: set[str] = field(default_factory=set)

    def declare(self, *requirements: str, runtimes: Sequence[str] = ("3.12",), more: str = "") -> None:
        """Write the project's file."""
        names = ", ".join(f'"{text}"' for text in requirements)
        runtimes = ", ".join(f'"{runtime}"' for runtime in runtimes)
        (self.root / "pyproject.toml").write_text(
            f'[project]\nname = "app"\nversion = "1"\ndependencies = [{names}]\n'
            f"[tool.layerkit]\nruntimes = [{runtimes}]\n{more}\n"
        )

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of layerkit on this project."""
        return [sys.executable, "-m", "layerkit", *arguments, str(self.root)]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start layerkit on the project."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.add(str(process.pid))
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run layerkit on the project; return its exit code and what it printed."""
        with self.start(*arguments) as process:
            out, err = process.communicate()
        return process.returncode, out, err

    def build(self, *arguments: str) -> str:
        """Build the project, and return what was said."""
        code, _, said = self.run("build", *arguments)
        assert code == 0, said
        return said

    def containers(self) -> list[Any]:
        """Return the containers that this project's builds have on the engine now."""
        found = self.engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
        return [one for one in found if one.labels[OWNER].split(".")[2] in self.processes]

    def answer(self, runtime: str, code: str) -> str:
        """Lay the built layers down in the runtime's image, and return what a program prints there."""
        short = "py" + runtime.replace(".", "")
        (zip_path,) = (self.root / "dist" / "layers" / f"python{runtime}-x86_64").glob(
            f"{short}-*-default.zip"
        )
        opt = self.root.parent / "opt"
        shutil.rmtree(opt, ignore_errors=True)
        subprocess.run(["unzip", "-q", zip_path, "-d", opt], check=True)
        container = self.engine.containers.create(
            self.stand_ins[f"python{runtime}"].run,
            entrypoint=["/var/lang/bin/python3", "-c", code],
            environment={"PYTHONPATH": f"/opt/python/lib/python{runtime}/site-packages"},
            labels={"layerkit-test": "answer"},
        )
        try:
            packed = subprocess.run(["tar", "-C", opt, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
            container.put_archive("/opt", packed)
            container.start()
            code_of_exit = container.wait()["StatusCode"]
            said = container.logs().decode()
        finally:
            container.remove(force=True)
        assert code_of_exit == 0, said
        return said.strip()
