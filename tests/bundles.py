"""Bundles laid out as Lambda mounts them, from tiny wheels, and Pythons that start on them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

from msgspec import Struct, field

from factory import make_wheel
from layerkit.archive import Run, compose
from layerkit.overlimit.framing import framed
from layerkit.overlimit.loader_wheel import loader
from layerkit.prepare import prepare
from layerkit.project import OverLimit
from layerkit.target import target
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from layerkit.lock import LockedPackage, WheelRef
    from layerkit.overlimit.codec import Codec
    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

PY312 = target("py312")
SITE = PY312.site_packages("versioned")
FRAMES = f"{SITE}/layerkit_frames"


def blob(size: int, seed: int = 0) -> bytes:
    """Return bytes that compress about as libraries do, the same for the same arguments."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    words = [chance.randbytes(8) for _ in range(64)]
    return b"\x7fELF" + b"".join(chance.choice(words) for _ in range(size // 8)) + bytes(size % 8 + 8)


FILES: Mapping[str, bytes | str] = {
    "alpha/__init__.py": "import os\nHERE = os.path.dirname(__file__)\nprint('alpha runs')\n",
    "alpha/core.so": blob(30_000, 1),
    "alpha/small.so": b"\x7fELF small",
    "alpha/plain/note.txt": "a note\n",
    "alpha/data/big.bin": blob(45_000, 2),
    "alpha/data/little.bin": b"little",
    "alpha/bin/tool": blob(5_000, 3),
    "alpha/bin/script": "#!/bin/sh\n",
    "alpha.libs/libx-1.so.1": blob(25_000, 4),
}
BIG = frozenset({"alpha/core.so", "alpha/data/big.bin", "alpha.libs/libx-1.so.1"})
BETA: Mapping[str, bytes | str] = {"shared/beta/__init__.py": "", "shared/beta/b.bin": blob(12_000, 5)}
GAMMA: Mapping[str, bytes | str] = {"shared/gamma/__init__.py": "", "shared/gamma/c.bin": blob(9_000, 6)}


def prepared(folder: Path, store: Store, name: str, files: Mapping[str, bytes | str]) -> PreparedWheel:
    """Return a prepared wheel of these files; what lies in a folder `bin` can be run."""
    programs = [path for path in files if "/bin/" in path]
    made = make_wheel(folder, name, files=files, executable=programs)
    return prepare(made.path, made.filename, made.sha256, PY312, store)


def loader_of(
    store: Store, over_limit: OverLimit | None = None, decoder: str | None = None
) -> tuple[LockedPackage, PreparedWheel]:
    """Return the loader as a package, and prepared."""
    package = loader(over_limit or OverLimit(mode="bundle"), decoder, PY312, "versioned", store)
    return package, _prepared(package.wheel, store)


def _prepared(wheel: WheelRef, store: Store) -> PreparedWheel:
    path = store.path("wheels", wheel.sha256, ".whl")
    return prepare(path, wheel.filename, wheel.sha256, PY312, store)


def lay(opt: Path, wheels: Iterable[PreparedWheel]) -> Path:
    """Unzip a layer of these wheels into `opt`, modes and all, and return the folder of the modules."""
    opt.mkdir(parents=True, exist_ok=True)
    path = opt.with_suffix(".zip")
    compose(path, [Run.open(wheel.path) for wheel in wheels])
    unzip(path, opt)
    return opt / SITE


class Bundle(Struct, frozen=True, kw_only=True):
    """A bundle on disk: its modules' folder, the /tmp of its functions, and their environment."""

    site: Path
    tmp: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, code: str, *arguments: str, python: str | Path = sys.executable) -> list[str]:
        """Return what runs `code` after the loader, as a .pth file starts it."""
        lines = f"import sys; sys.path.insert(0, {str(self.site)!r}); import layerkit_loader\n{code}"
        return [str(python), "-I", "-B", "-c", lines, *arguments]

    def variables(self, **more: str) -> dict[str, str]:
        """Return the environment of a function."""
        return {"PATH": os.defpath, "LAYERKIT_TMP": str(self.tmp), **self.environment, **more}

    def run(
        self, code: str = "", python: str | Path = sys.executable, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `code` after the loader and return what came of it."""
        return subprocess.run(
            self.command(code, python=python),
            env=self.variables(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def says(self, code: str, python: str | Path = sys.executable, **more: str) -> str:
        """Return what `code` prints, which must succeed without a word on stderr."""
        done = self.run(code, python, **more)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.strip()

    def trees(self) -> list[Path]:
        """Return the folders that loaders made."""
        return sorted(self.tmp.glob("layerkit-*"))


def bundle(folder: Path, store: Store, codec: Codec = "zlib", over_limit: OverLimit | None = None) -> Bundle:
    """Lay down a bundle of three packages, two of which share a namespace."""
    contents = {
        "alpha": (FILES, BIG),
        "beta": (BETA, {"shared/beta/b.bin"}),
        "gamma": (GAMMA, {"shared/gamma/c.bin"}),
    }
    moved = []
    for name, (files, names) in contents.items():
        wheel = prepared(folder / "wheels", store, name, files)
        moved.append(framed(wheel, frozenset(names), frozenset(), codec, SITE, store))
    site = lay(folder / "opt", [*moved, loader_of(store, over_limit)[1]])
    (folder / "tmp").mkdir()
    return Bundle(site=site, tmp=folder / "tmp")
