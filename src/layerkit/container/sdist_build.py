"""The steps of one build inside a container: an environment, the backend, a wheel, and what that reaches.

The backend is called as PEP 517 has it. What the build requires is installed by the newest pip that the
runtime's Python runs, brought along as a wheel like all the rest; the pip and the packages that an image
has are left alone. Every build has a folder of its own, named after the package, so that paths that get
into binaries are the same each time.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.container.engine import full, is_full
from layerkit.container.sdist import BuildSystem, build_system
from layerkit.container.tarred import Entry
from layerkit.errors import BuildError, EngineError
from layerkit.source_date import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from layerkit.container.log import Log
    from layerkit.container.room import Room
    from layerkit.container.surroundings import Surroundings
    from layerkit.lock import LockedPackage
    from layerkit.lock.uv import Candidate
    from layerkit.target import Target

    Tools = Callable[[Sequence[str]], list[tuple[LockedPackage, Path]]]

# An ordinary user: the code of packages may write below its own folder and nowhere else.
_USER = 65532
_OWNER = f"{_USER}:{_USER}"
# 1980-01-01, the date that every zip of ours carries.
_KILLED = 137
_UNPACK = "import shutil, sys; shutil.unpack_archive(sys.argv[1], sys.argv[2])"
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_INSTALL = """
set -e
if command -v dnf; then dnf install -y --setopt=install_weak_deps=False "$@"
elif command -v microdnf; then microdnf install -y --setopt=install_weak_deps=0 "$@"
elif command -v yum; then yum install -y --setopt=skip_missing_names_on_install=False "$@"
elif command -v apt-get; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
else
    echo "this image has none of dnf, microdnf, yum and apt-get" >&2
    exit 1
fi
"""
_TRUST = """
set -e
if command -v update-ca-trust; then
    cp "$1" /etc/pki/ca-trust/source/anchors/layerkit.pem && update-ca-trust
elif command -v update-ca-certificates; then
    cp "$1" /usr/local/share/ca-certificates/layerkit.crt && update-ca-certificates
fi
"""


class Libraries(Struct, frozen=True, kw_only=True):
    """The ELF files of a wheel and the libraries they reach outside of it.

    `root` is a folder of this machine that stands for the image's root and holds these, in `folders`.
    """

    elf: tuple[str, ...]
    folders: tuple[str, ...]
    root: Path


def equip(room: Room, packages: Sequence[str], around: Surroundings, log: Log) -> None:
    """Install system packages with whatever the image installs them with. Raises BuildError."""
    if around.certificates is not None:
        room.run(["/bin/sh", "-c", _TRUST, "trust", around.certificates], log)
    code = room.run(["/bin/sh", "-c", _INSTALL, "install", *packages], log, env=around.environment)
    if code:
        raise _failed("the system packages could not be installed", code, room, log)


class SdistBuild:
    """One build of one source archive."""

    def __init__(
        self, room: Room, target: Target, candidate: Candidate, around: Surroundings, log: Log
    ) -> None:
        """Keep what to work with."""
        self._room = room
        self._target = target
        self._name = f"{candidate.name} {candidate.version}"
        self._log = log
        self._top = f"/layerkit/{target.short}"
        self._home = f"{self._top}/{candidate.name}-{candidate.version}"
        self._python = f"{self._home}/env/bin/python"
        self._source = self._wheel = ""
        self._system = BuildSystem()
        self._installed: set[str] = set()
        self._environment = {**around.environment, **_environment(self._home, room.image.environment)}

    def prepare(self, archive: Path, filename: str, tools: Tools) -> list[str]:
        """Unpack the source and make the environment to build it in; return what is in that.

        `tools` gives the wheels that requirements (PEP 508) come to. Raises BuildError.
        """
        self._system = build_system(archive, filename)
        self._put_source(archive, filename)
        wheels = tools(["pip", *self._system.requires])
        self._install(wheels)
        asked = self._hook("asking the backend", "get_requires_for_build_wheel")
        more = [text for text in asked if isinstance(text, str)] if isinstance(asked, list) else []
        if more:
            wheels = tools(["pip", *self._system.requires, *more])
            self._install(wheels)
        return sorted(f"{package.name}=={package.version}" for package, _ in wheels if package.name != "pip")

    def wheel(self, folder: Path) -> Path:
        """Build the wheel and return where it lies on this machine, below `folder`."""
        out = f"{self._home}/out"
        self._hook("building", "build_wheel", out)
        made = [path for path in self._room.get(out, folder) if path.suffix == ".whl"]
        if len(made) != 1:
            raise BuildError(f"the build left {len(made)} wheels instead of one", where=self._name)
        self._wheel = f"{out}/{made[0].name}"
        return made[0]

    def libraries(self, folder: Path) -> Libraries:
        """Find what the wheel's ELF files reach in the image, and have it below `folder`."""
        reached, answer = f"{self._home}/reached", f"{self._home}/reached.json"
        self._put_script("libraries.py")
        self._run(
            "looking for libraries",
            [self._python, f"{self._home}/libraries.py", self._wheel, reached, answer],
        )
        found = json.loads(self._room.output(["cat", answer]))
        if found["missing"]:
            raise BuildError(
                "libraries that the wheel needs are nowhere in the image:\n"
                + "\n".join(f"  {line}" for line in found["missing"]),
                where=self._name,
                fix="name the system package that has them in system-packages of [tool.layerkit]",
            )
        if found["folders"]:
            self._room.get(f"{reached}/root", folder)
        return Libraries(elf=tuple(found["elf"]), folders=tuple(found["folders"]), root=folder / "root")

    def _put_source(self, archive: Path, filename: str) -> None:
        """Make the build's folder anew, with an environment and the unpacked source in it."""
        home, room = self._home, self._room
        script = 'rm -rf "$1" && mkdir -p "$1/source" "$1/wheels" "$1/out" && chown -R "$2" "$1"'
        room.output(["/bin/sh", "-c", script, "make", home, _OWNER])
        room.put(home, [Entry(name=filename, path=archive, user=_USER, group=_USER)])
        self._run(
            "making an environment", [self._interpreter(), "-m", "venv", "--without-pip", f"{home}/env"]
        )
        self._run("unpacking", [self._python, "-c", _UNPACK, f"{home}/{filename}", f"{home}/source"])
        folders = room.output(["ls", "-A", f"{home}/source"]).split("\n")[:-1]
        if len(folders) != 1:
            raise BuildError("the source archive does not hold one folder", where=filename)
        self._source = f"{home}/source/{folders[0]}"

    def _interpreter(self) -> str:
        """Return the path of the runtime's interpreter in the image."""
        named = self._target.interpreter, f"python{self._target.minor}"
        try:
            path = self._room.output(["/bin/sh", "-c", 'command -v "$0" || command -v "$1"', *named]).strip()
            found = self._room.output([path, "-c", _VERSION]).strip()
        except EngineError:
            found = "no such interpreter"
        if found != self._target.minor:
            raise EngineError(
                f"the image has not the Python of the runtime: {named[0]} is {found}",
                where=self._room.image.reference,
                fix=f"name an image with Python {self._target.minor} in [tool.layerkit.docker] build-images",
            )
        return path

    def _install(self, wheels: Sequence[tuple[LockedPackage, Path]]) -> None:
        """Install wheels into the environment, those that are not in it yet."""
        new = [
            Entry(name=package.wheel.filename, path=path, user=_USER, group=_USER)
            for package, path in wheels
            if package.name != "pip" and package.wheel.sha256 not in self._installed
        ]
        if not new:
            return
        pip = self._pip(next(one for one in wheels if one[0].name == "pip"))
        self._room.put(f"{self._home}/wheels", new)
        paths = [f"{self._home}/wheels/{entry.name}" for entry in new]
        self._run(
            "installing what the build requires",
            [self._python, pip, "install", "--no-index", "--no-deps", "--no-cache-dir", "--no-compile",
             "--no-warn-script-location", "--quiet", "--upgrade", *paths],
        )  # fmt: skip
        self._installed |= {package.wheel.sha256 for package, _ in wheels}

    def _pip(self, pip: tuple[LockedPackage, Path]) -> str:
        """Return the path of pip, which is unpacked once for all builds in the container."""
        package, path = pip
        folder = f"{self._top}/pip-{package.version}"
        script = 'test -e "$1/pip" && echo there || { mkdir -p "$1" && chown "$2" "$1"; }'
        if not self._room.output(["/bin/sh", "-c", script, "make", folder, _OWNER]):
            self._room.put(folder, [Entry(name="pip.whl", path=path, user=_USER, group=_USER)])
            unpack = [self._python, "-m", "zipfile", "-e", f"{folder}/pip.whl", folder]
            self._room.output(unpack, user=_OWNER)
        return f"{folder}/pip"

    def _hook(self, doing: str, name: str, *arguments: str) -> object:
        """Call a hook of the backend in the source's folder, and return its answer."""
        answer = f"{self._home}/{name}.json"
        self._put_script("hook.py")
        system = self._system.backend, json.dumps(list(self._system.path))
        self._run(
            doing,
            [self._python, f"{self._home}/hook.py", *system, answer, name, *arguments],
            workdir=self._source,
        )
        found: object = json.loads(self._room.output(["cat", answer]))
        return found

    def _put_script(self, name: str) -> None:
        """Send one of the programs that run inside."""
        content = files("layerkit.container").joinpath("inside", name).read_bytes()
        self._room.put(self._home, [Entry(name=name, content=content)])

    def _run(self, doing: str, argv: Sequence[str], *, workdir: str | None = None) -> None:
        """Run one step as the ordinary user. Raises BuildError with the end of the log."""
        self._log.say(f"== {doing}: {' '.join(argv)}")
        code = self._room.run(
            argv, self._log, env=self._environment, user=_OWNER, workdir=workdir or self._home
        )
        if code:
            raise _failed(f"{self._name} could not be built ({doing})", code, self._room, self._log)


def _environment(home: str, image: Sequence[str]) -> Mapping[str, str]:
    """Return the environment of a build: nothing in it differs from one day or machine to the next."""
    path = next(
        (one.partition("=")[2] for one in image if one.startswith("PATH=")), "/usr/local/bin:/usr/bin:/bin"
    )
    return {
        "HOME": home,
        "PATH": f"{home}/env/bin:{path}",
        "VIRTUAL_ENV": f"{home}/env",
        "SOURCE_DATE_EPOCH": EPOCH,
        "PYTHONHASHSEED": "0",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }


def _failed(what: str, code: int, room: Room, log: Log) -> BuildError | EngineError:
    """Return the error for a step that failed: with the last lines, and where all of them are."""
    said = log.last()
    if is_full(said):
        return full(f"({what})", room.engine.where)
    killed = ", killed: from outside, or for want of memory" if code == _KILLED else ""
    return BuildError(
        f"{what}, exit code {code}{killed}:\n{said}",
        where=room.image.reference,
        fix=f"the whole log: {log.path}",
    )
