"""The same project gives the same bytes: whoever builds it, where, when, on what, and with which Python.

Each build starts from an empty store and without a lock, so that nothing of an earlier one can help. Packages
are slimmed, stripped, compiled and compressed anew, as for any project; the first test sees to that.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.target import target
from real import REPOSITORY, Workshop, interpreter, run, run_layerkit, write_project

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.integration

ON = target("py312")
# Extensions, commands, data files, the project's own wheel, code of a function: whatever layerkit writes.
LAYERS: dict[str, list[str] | dict[str, object]] = {
    "own": {"project": True},
    "tools": ["pyyaml==6.0.2", "rich==14.0.0", "charset-normalizer==3.4.1"],
    "web": ["httpx==0.28.1", "markupsafe==3.0.2"],
}
BACKEND = '\n[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
FILES = {
    "api/app.py": "import yaml\n",
    "api/empty/__init__.py": "",
    "api/data/é.txt": "é\n",
    "src/real/__init__.py": "VALUES = {'a', 'b', 'c'}\n",
    "src/real/deep/one.py": "import real\n",
    "src/real/deep/__init__.py": "",
}

# Python runs this at its start. Folders list what they hold in an order of their own, which the seed decides;
# there are as many cores as said; and threads take turns a thousand times as often.
JITTER = """
import os, sys, zlib
cores, seed = int(os.environ["JITTER_CORES"]), os.environ["JITTER_SEED"]
if hasattr(os, "sched_setaffinity") and cores == 1:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.cpu_count = lambda: cores
os.sched_getaffinity = lambda pid: set(range(cores))
def shuffled(names, of=str):
    return sorted(names, key=lambda name: zlib.crc32((seed + of(name)).encode("utf-8", "surrogateescape")))
listdir, scandir = os.listdir, os.scandir
class Scan:
    def __init__(self, path="."):
        with scandir(path) as found:
            self.left = iter(shuffled(found, lambda entry: os.fsdecode(entry.name)))
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def __iter__(self): return self
    def __next__(self): return next(self.left)
    def close(self): pass
class List:  # and no function: the pathlib of 3.10 would make a method of it
    def __call__(self, path="."): return shuffled(listdir(path), os.fsdecode)
os.listdir, os.scandir = List(), Scan
sys.setswitchinterval(5e-6)
"""


def jitter(folder: Path, *, seed: str, cores: int) -> dict[str, str]:
    """Return the variables that make any Python list folders in an order of the seed, on so many cores."""
    hook = folder / "jitter" / "sitecustomize.py"
    hook.parent.mkdir(parents=True)
    hook.write_text(JITTER)
    variables = {"PYTHONHASHSEED": seed, "JITTER_SEED": seed, "JITTER_CORES": str(cores)}
    return {**variables, "PYTHONPATH": str(hook.parent)}


def build(
    folder: Path,
    environment: Mapping[str, str],
    python: str | Path = sys.executable,
    umask: int = 0o022,
    reverse: bool = False,  # noqa: FBT001, FBT002
) -> dict[str, str]:
    """Build the project in `folder` from nothing and return the sha256 of each file that is left."""
    functions = {"api": {"layers": [*LAYERS], "code": "api"}}
    project = write_project(folder, LAYERS, ON, functions=functions, **{"self-contained": False})
    with (project / "pyproject.toml").open("a") as file:
        file.write(BACKEND)
    for name in sorted(FILES, reverse=reverse):  # folders list their files in the order of writing
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name], encoding="utf-8")
        path.chmod(0o666 & ~umask)
    environment = {**environment, "LAYERKIT_CACHE": str(folder / "store")}
    run_layerkit(["build", "."], environment, python, cwd=project, umask=umask)
    kept = [*project.glob("dist/layers/*/*"), *project.glob(".layerkit/pylock.*")]
    return {path.relative_to(project).as_posix(): sha256(path) for path in kept}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def first(workshop: Workshop) -> tuple[Path, dict[str, str]]:
    """Give the project built plainly, and the digests of what came out."""
    folder = workshop.folder / "first"
    built = build(folder, workshop.environment)
    assert sorted(path.rpartition("/")[2] for path in built) == [
        "py312-real-1.0-api-code.zip",
        "py312-real-1.0-own.zip",
        "py312-real-1.0-tools.zip",
        "py312-real-1.0-web.zip",
        "py312-real-1.0.json",
        "pylock.py312-x86_64.toml",
    ]
    return folder, built


def test_packages_were_slimmed_stripped_and_compiled(first: tuple[Path, dict[str, str]]) -> None:
    (path,) = first[0].glob("dist/layers/*/*.json")
    manifest = json.loads(path.read_bytes())
    effects = [
        effect
        for layer in manifest["layers"]
        for package in layer["packages"]
        for effect in package["effects"]
    ]
    rules = {effect["rule"] for effect in effects}
    assert {"type-stubs", "sources", "strip"} <= rules
    if interpreter("3.12") is None:
        pytest.skip("there is no Python 3.12 on this machine, and so no bytecode")
    assert "bytecode" in rules
    assert manifest["preparing"]["interpreter"].startswith("3.12.")


def test_another_environment_gives_the_same_bytes(
    first: tuple[Path, dict[str, str]], workshop: Workshop
) -> None:
    elsewhere = workshop.folder / "another place é"
    temporary = elsewhere / "temporary files"
    temporary.mkdir(parents=True)
    environment = {
        **workshop.environment,
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "TMPDIR": str(temporary),
        "HOME": str(elsewhere),
        "UV_CACHE_DIR": str(elsewhere / "uv"),
        "COLUMNS": "40",
        **jitter(elsewhere, seed="12345", cores=1),
    }
    again = build(elsewhere / "my project", environment, umask=0o077, reverse=True)
    assert again == first[1]
    # uv leaves the lock by which no two processes let setuptools build in the same folder
    assert [path for path in temporary.iterdir() if not path.name.startswith("uv-setuptools-")] == []


@pytest.mark.parametrize("minor", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_another_python_gives_the_same_bytes(
    minor: str, first: tuple[Path, dict[str, str]], workshop: Workshop
) -> None:
    host = interpreter(minor)
    if host is None:
        pytest.skip(f"there is no Python {minor} on this machine")
    folder = workshop.folder / f"by-{minor}"
    environment = dict(workshop.environment)
    python = Path(sys.executable)
    if tuple(map(int, minor.split("."))) != sys.version_info[:2]:
        run(["uv", "venv", "--quiet", "--no-project", "--python", host, folder / "venv"], environment)
        python = folder / "venv" / "bin" / "python"
        needs = REPOSITORY / "pyproject.toml"
        run(["uv", "pip", "install", "--quiet", "--python", python, "--requirement", needs], environment)
    environment |= {"TZ": "America/St_Johns", **jitter(folder, seed=minor.replace(".", ""), cores=7)}
    assert build(folder / "project", environment, python, umask=0o002) == first[1]


def test_the_jitter_shakes(workshop: Workshop, tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / name).touch()
    code = "import os; print(os.cpu_count(), *os.listdir(), *(one.name for one in os.scandir()), hash('a'))"
    said = set()
    for seed in ("1", "2", "3"):
        environment = {**workshop.environment, **jitter(workshop.folder / f"seed-{seed}", seed=seed, cores=5)}
        found = run([sys.executable, "-c", code], environment, tmp_path)
        assert sorted(found.split()[1:-1]) == sorted("aabbccddeeff")
        said.add(found)
    assert len(said) == 3
    assert {line[0] for line in said} == {"5"}


@pytest.mark.parametrize(
    "command",
    [("python3", "-m", "zipfile", "-t"), ("unzip", "-tq"), ("zipinfo",)],
    ids=["python", "unzip", "zipinfo"],
)
def test_other_tools_accept_the_zips(
    command: tuple[str, ...], first: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    program = sys.executable if command[0] == "python3" else shutil.which(command[0])
    if program is None:
        pytest.skip(f"there is no {command[0]} on this machine")
    zips = sorted(first[0].glob("dist/layers/*/*.zip"))
    assert len(zips) == 4
    for path in zips:
        done = subprocess.run(
            [program, *command[1:], path],
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), done.stdout[-2000:]
        # Python's own module names a bad member and still ends with 0.
        assert b"corrupted" not in done.stdout
    damaged = tmp_path / "damaged.zip"
    content = bytearray(zips[1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    if command[0] != "zipinfo":  # it reads the directory at the end and no member
        done = subprocess.run([program, *command[1:], damaged], capture_output=True, check=False)
        assert done.returncode != 0 or b"corrupted" in done.stdout, "the tool would have accepted anything"
