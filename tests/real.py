"""Real packages for the integration tests: projects on disk, layerkit as a command, pip as the judge.

Everything here speaks to layerkit as a user does, through its commands and the files that they write.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

import layerkit
from layerkit.errors import UsageError
from layerkit.target import parse_arch
from layerkit.toml import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerkit.target import Target

REPOSITORY = Path(__file__).resolve().parents[1]
# Where the layerkit under test was imported from: other interpreters run the same files.
SOURCES = Path(layerkit.__file__).resolve().parents[1]
COMMAND = "import sys; from layerkit.cli import main; main()"
LONGEST = 600  # seconds that one command may take

# Whatever pip and uv are told apart from the index they ask: a folder of wheels that only one of them
# sees would make them choose from different things.
_ONLY_FOR_UV = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX_URL", "UV_DEFAULT_INDEX")

# Where pip must believe to be, for it reads markers for the interpreter that runs it.
_PIP_ON = """\
import json, sys
import pip._vendor.packaging.markers as markers
known = json.loads(sys.argv.pop(1))
markers.default_environment = lambda: dict(known)
from pip._internal.cli.main import main
sys.exit(main())
"""


class Workshop(Struct, frozen=True, kw_only=True):
    """What the tests of a session share: a folder, an environment with one store and one index, and pip.

    `pip` is the interpreter of a virtual environment that holds the index's newest pip.
    """

    folder: Path
    environment: Mapping[str, str]
    pip: Path

    @property
    def store(self) -> Path:
        """Return the folder of the store, which all builds of the session share."""
        return Path(self.environment["LAYERKIT_CACHE"])

    def layerkit(self, *arguments: str | Path) -> Any:
        """Run a command of layerkit with --json, which must succeed, and return what it prints."""
        return run_layerkit(arguments, self.environment)

    def run_pip(self, *arguments: str | Path, on: Target | None = None) -> str:
        """Run pip, which must succeed, and return what it prints; `on` is where it believes to be."""
        pip = ["-c", _PIP_ON, json.dumps(on.markers())] if on else ["-m", "pip"]
        return run([self.pip, "-I", *pip, *arguments], self.environment)


def open_workshop(folder: Path) -> Workshop:
    """Make a workshop in `folder`, with an empty store and a pip from the index."""
    empty = folder / "nothing"
    empty.mkdir()
    environment = _one_index(dict(os.environ), empty)
    environment |= {"LAYERKIT_CACHE": str(folder / "store"), "PIP_CACHE_DIR": str(folder / "pip-cache")}
    run(["uv", "venv", "--quiet", "--no-project", "--python", sys.executable, folder / "pip"], environment)
    python = folder / "pip" / "bin" / "python"
    run(["uv", "pip", "install", "--quiet", "--python", python, "pip"], environment)
    return Workshop(folder=folder, environment=environment, pip=python)


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path | None = None, umask: int = -1
) -> str:
    """Run a command that must succeed and return its standard output; what it said is in the failure.

    `uv` stands for the uv that came with layerkit.
    """
    argv = [str(part) for part in command]
    if argv[0] == "uv":
        argv[0] = _uv()
    done = subprocess.run(
        argv,
        env=environment,
        cwd=cwd,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, (
        f"{argv[:6]} ended with {done.returncode}\n{done.stderr}\n{done.stdout[-2000:]}"
    )
    return done.stdout


def run_layerkit(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    python: str | Path = sys.executable,
    cwd: Path | None = None,
    umask: int = -1,
) -> Any:
    """Run layerkit from the files under test by `python` and return the JSON that it prints."""
    path = os.pathsep.join(filter(None, [str(SOURCES), environment.get("PYTHONPATH")]))
    environment = {**environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-c", COMMAND, *arguments, "--json"]
    return json.loads(run(command, environment, cwd, umask))


def write_project(
    folder: Path, layers: Mapping[str, Iterable[str] | Mapping[str, object]], on: Target, **keys: object
) -> Path:
    """Write a project whose layers each hold all they need, for one target, and return its folder.

    `keys` go into [tool.layerkit] as they are.
    """
    import tomli_w

    settings = {
        "runtimes": [on.runtime],
        "architectures": [on.arch],
        "self-contained": True,
        "layers": {
            name: dict(what) if isinstance(what, Mapping) else list(what) for name, what in layers.items()
        },
        **keys,
    }
    document = {"project": {"name": "real", "version": "1.0"}, "tool": {"layerkit": settings}}
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    return folder


def pip_flags(on: Target) -> list[str]:
    """Return the arguments that make pip choose what fits the target, every platform tag in its order."""
    abi = on.tags()[0].split("-")[1]
    flags = ["--only-binary", ":all:", "--implementation", "cp", "--abi", abi, "--python-version", on.python]
    for tag in on.platforms():
        flags += ["--platform", tag]
    return flags


def locked_packages(project: Path, on: Target) -> dict[str, dict[str, Any]]:
    """Return the packages of the lock on disk, as PEP 751 has them, by name."""
    path = project / ".layerkit" / f"pylock.{on.short}-{on.arch}.toml"
    return {package["name"]: package for package in parse(path.read_text())["packages"]}


def wheels_of(report: Mapping[str, Any]) -> list[str]:
    """Return the file names of the wheels that a report of pip names, sorted."""
    from urllib.parse import unquote, urlsplit

    paths = (urlsplit(item["download_info"]["url"]).path for item in report["install"])
    return sorted(unquote(path).rpartition("/")[2] for path in paths)


@cache
def interpreter(minor: str) -> Path | None:
    """Return a Python of that minor version on this machine, None where there is none."""
    found = (_executable(path, minor) for path in _candidates(minor))
    return next((path for path in found if path), None)


def here() -> str | None:
    """Return Lambda's name of this machine's architecture, None where Lambda has no such machine."""
    try:
        return parse_arch(platform.machine())
    except UsageError:
        return None


def glibc() -> tuple[int, int]:
    """Return the version of the C library here, (0, 0) where it is not glibc."""
    name, version = platform.libc_ver()
    major, _, minor = version.partition(".")
    return (int(major), int(minor)) if name == "glibc" else (0, 0)


def _candidates(minor: str) -> Iterable[Path]:
    """Yield what might be a Python of that version: on PATH, one of pyenv's, one of uv's."""
    for folder in os.get_exec_path():
        yield Path(folder, f"python{minor}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{minor}.*/bin/python{minor}"), reverse=True)
    command = [_uv(), "python", "find", "--managed-python", "--no-project", "--no-python-downloads", minor]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        yield Path(found.stdout.strip())


def _executable(python: Path, minor: str) -> Path | None:
    """Return the file of an interpreter of that version; a name on PATH need not lead to one."""
    if not python.is_file():
        return None
    code = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    version, _, executable = done.stdout.strip().partition(" ")
    return Path(executable) if done.returncode == 0 and version == minor else None


def _uv() -> str:
    """Return the path of the uv that came with layerkit."""
    from uv import find_uv_bin

    return str(find_uv_bin())


def _one_index(environment: dict[str, str], empty: Path) -> dict[str, str]:
    """Return the environment with one index for pip and uv: the user's own, where one is set for either.

    A setting of pip that is empty does not replace one of its files, so an empty folder stands for none.
    """
    index = (
        environment.get("UV_DEFAULT_INDEX")
        or environment.get("UV_INDEX_URL")
        or environment.get("PIP_INDEX_URL")
        or _pip_index()
    )
    environment = {name: value for name, value in environment.items() if name not in _ONLY_FOR_UV}
    if index:
        environment |= {"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index}
    environment |= {"PIP_FIND_LINKS": str(empty), "PIP_EXTRA_INDEX_URL": empty.as_uri()}
    return environment | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def _pip_index() -> str | None:
    """Return the index that pip's own files name, None where they name none."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None
