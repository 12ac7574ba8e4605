"""A place to break builds in: a project, its index on the loopback, and builds as processes of their own.

    with Arena(folder) as arena:
        arena.build().code == 0
        arena.faults()            # what is wrong with what lies there now, in sentences

What a build should write is known from the first one, which nobody disturbs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from factory import make_wheel
from layerkit import atomic
from loopback import Loopback

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_COMMAND = [sys.executable, "-c", "from layerkit.__main__ import main; main()"]
_LARGE = 3_000_000
_LONGEST = 120
_PACKAGES = 8
_PROJECT = """
[project]
name = "arena"
version = "1.0"
requires-python = ">=3.9"
dependencies = [{names}]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"

[tool.layerkit.layers]
base = ["large"]
many = {{ dependencies = true }}

[tool.layerkit.functions.api]
layers = ["base", "many"]
code = "api"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a build ended; `code` is negative where a signal ended it."""

    code: int
    said: str
    seconds: float

    @property
    def error(self) -> str:
        """Return the line that says what went wrong."""
        return next((line for line in self.said.splitlines() if line.startswith("error:")), "")


@dataclass(slots=True)
class Arena:
    """A project under `folder`, its store and its output; both can lie elsewhere."""

    folder: Path
    store: Path = field(init=False)
    output: Path = field(init=False)
    wanted: Mapping[str, bytes] = field(init=False, default_factory=dict)
    seconds: float = field(init=False, default=0.0)
    index: Loopback = field(init=False)

    def __post_init__(self) -> None:
        """Name the folders."""
        self.store, self.output = self.folder / "store", self.folder / "dist"
        (self.folder / "wheels").mkdir(parents=True)
        self.index = Loopback(self.folder / "wheels")

    def __enter__(self) -> Self:
        """Make the wheels and the project, and build it once."""
        self._lay_down()
        self.index.__enter__()
        first = self.build()
        assert first.code == 0, first.said
        self.wanted, self.seconds = dict(self._zips()), first.seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the index."""
        self.index.__exit__(kind, error, trace)

    def _lay_down(self) -> None:
        wheels = self.folder / "wheels"
        names = [f"part-{number}" for number in range(_PACKAGES)]
        for name in names:
            make_wheel(
                wheels, name, files={f"{name.replace('-', '_')}/{n}.py": f"x = {n}\n" for n in range(20)}
            )
        # Bytes that no compressor makes smaller, the same ones every time.
        noise = b"".join(n.to_bytes(3, "big") for n in range(_LARGE // 3))
        make_wheel(
            wheels,
            "large",
            files={"large/__init__.py": "", "large/data.bin": noise},
            stored=["large/data.bin"],
        )
        make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
        make_wheel(wheels, "botocore", "1.42.0")
        code = self.folder / "project" / "api"
        code.mkdir(parents=True)
        (code / "app.py").write_text("def handler(event, context): ...\n")
        text = _PROJECT.format(names=", ".join(f'"{name}"' for name in names))
        (self.folder / "project" / "pyproject.toml").write_text(text)

    def environment(self) -> dict[str, str]:
        """Return what builds here run with: this index, this store, no settings of the user's."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("UV_", "PIP_", "LAYERKIT_"))
        }
        return kept | {
            "LAYERKIT_CACHE": str(self.store),
            "UV_DEFAULT_INDEX": self.index.simple,
            "UV_CACHE_DIR": str(self.folder / "uv"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def start(self, *arguments: str, project: Path | None = None) -> subprocess.Popen[str]:
        """Start a build in a group of processes of its own."""
        command = [*_COMMAND, "build", str(project or self.folder / "project"), "--output", str(self.output)]
        return subprocess.Popen(
            [*command, *arguments],
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def build(self, *arguments: str) -> Ended:
        """Run a build to its end."""
        return self.ended(self.start(*arguments))

    def ended(self, build: subprocess.Popen[str]) -> Ended:
        """Wait for a build."""
        begun = time.monotonic()
        _, said = build.communicate(timeout=_LONGEST)
        return Ended(code=build.returncode, said=said, seconds=time.monotonic() - begun)

    def interrupted(self, signum: signal.Signals, after: float) -> Ended:
        """Run a build, and send it and all it started a signal after so many seconds."""
        build = self.start()
        try:
            build.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(build.pid, signum)
        return self.ended(build)

    def faults(self, *, finished: bool = False) -> Iterator[str]:
        """Say what is wrong with the output: other bytes; once `finished`, what is missing or was left."""
        found = dict(self._zips())
        for name, content in found.items():
            if self.wanted.get(name) != content:
                yield f"{name} is not what an undisturbed build writes"
        if finished:
            yield from (f"{name} is missing" for name in self.wanted.keys() - found.keys())
            yield from (f"{path.name} was left" for path in self._left())

    def _zips(self) -> Iterator[tuple[str, bytes]]:
        for path in sorted(self.output.rglob("*.zip")):
            if not atomic.is_temporary(path.name):
                yield path.name, path.read_bytes()

    def _left(self) -> Iterator[Path]:
        folders = (self.output, self.store, self.folder / "project")
        return (path for folder in folders for path in folder.rglob("*") if atomic.is_temporary(path.name))

    def entries(self, *kinds: str) -> list[Path]:
        """Return the files that the store holds of some kinds, in order."""
        return sorted(path for kind in kinds for path in (self.store / kind).rglob("*") if path.is_file())

    def forget(self, *what: Path) -> None:
        """Remove files and folders, whether they are there or not."""
        for path in what:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def readable(zips: Iterable[Path]) -> bool:
    """Tell whether every zip is one, to the last CRC."""
    return all(zipfile.ZipFile(path).testzip() is None for path in zips)
