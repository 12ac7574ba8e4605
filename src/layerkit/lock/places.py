"""Where uv runs: on this machine, or in the image of a runtime, whose interpreter then has the say."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.lock import ImageRef
    from layerkit.target import Target


class Errand(Struct, frozen=True, kw_only=True):
    """One call of uv: its arguments, the folder it is called in, what it reads there and elsewhere.

    `folder` is the project's, `shared` one of the call's own with all its small files, `needed` are
    files elsewhere. `answer` is a file in `shared` that uv writes, `environment` goes on top of the
    user's. A place other than this machine has all these files under the same paths.
    """

    arguments: Sequence[str]
    folder: Path
    shared: Path
    needed: Sequence[Path] = ()
    answer: Path | None = None
    environment: Mapping[str, str]


class Told(Struct, frozen=True, kw_only=True):
    """What a call of uv ended with, and what it printed."""

    code: int
    out: str
    error: str


class Place(Protocol):
    """Somewhere uv can be run. `advice` is what to do where it reaches no index from there."""

    @property
    def advice(self) -> str:
        """Return one line."""

    def run(self, errand: Errand) -> Told:
        """Run uv to its end."""


class Inside(Struct, frozen=True, kw_only=True):
    """A resolution inside an image: where uv runs, the target as its interpreter has it, what to say."""

    place: Place
    target: Target
    image: ImageRef
    notes: tuple[str, ...] = ()


class Here:
    """The machine that layerkit runs on, with the uv that came with it."""

    advice = "look at the network, the proxy and the index settings that uv uses"

    def run(self, errand: Errand) -> Told:
        """Run uv to its end. Raises StorageError where it cannot be started."""
        import subprocess

        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **errand.environment}
        try:
            done = subprocess.run(  # noqa: S603
                [uv_binary(), *errand.arguments],
                cwd=errand.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except OSError as error:
            raise StorageError(f"uv cannot be started: {error}", fix="install layerkit again") from error
        return Told(
            code=done.returncode,
            out=done.stdout.decode("utf-8", "replace"),
            error=done.stderr.decode("utf-8", "replace"),
        )


# uv asks sysconfig, which tells nothing to a thread that comes while another one has it read its files.
_FINDING = threading.Lock()


def uv_binary() -> str:
    """Return the path of uv's program, which came with layerkit."""
    import uv

    try:
        with _FINDING:
            return str(uv.find_uv_bin())
    except FileNotFoundError as error:
        # In a layer, programs lie beside the folders of modules: /opt/bin, /opt/python/...
        for folder in list(Path(uv.__file__).parents)[2:6]:
            if os.access(folder / "bin" / "uv", os.X_OK):
                return str(folder / "bin" / "uv")
        raise StorageError(
            "uv, which layerkit depends on, is not there", fix="install layerkit again"
        ) from error
