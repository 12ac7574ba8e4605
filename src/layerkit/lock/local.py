"""Local folders, the project's own among them, built into wheels by their own build backend.

This is the user's own code, and the only code of packages that a build without Docker runs. A
folder is built once per content; editable installs and their `.pth` files never reach a layer.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.errors import BuildError, WheelError
from layerkit.lock import WheelRef
from layerkit.lock.places import uv_binary
from layerkit.output import write_bytes
from layerkit.redaction import redact
from layerkit.source_date import EPOCH

if TYPE_CHECKING:
    from layerkit.store import Store
    from layerkit.target import Target

_LAST_LINES = 25


def build_wheel(folder: Path, content: str, store: Store, kept: Path, *, offline: bool = False) -> Path:
    """Return the wheel that the project in `folder` builds into, under its own name in `kept`.

    `content` is the digest of the folder's content: the same content is built once, by one Python.
    Raises BuildError with the last lines that the backend printed.
    """
    key = hashlib.sha256(f"{content} {sys.version_info[:2]}".encode()).hexdigest()
    with store.lock("built", key):
        named = store.find("built", key, ".txt")
        filename, _, digest = named.read_text(encoding="utf-8").partition("\n") if named else ("", "", "")
        if not digest or store.find("wheels", digest, ".whl") is None:
            filename, digest = _build(folder, key, store, offline=offline)
    return place(store.path("wheels", digest, ".whl"), kept / filename)


def _build(folder: Path, key: str, store: Store, *, offline: bool) -> tuple[str, str]:
    """Run the backend through `uv build`, put the wheel into the store; return its name and sha256."""
    with tempfile.TemporaryDirectory(prefix="layerkit-") as name:
        _run(folder, Path(name), "--wheel", offline=offline)
        wheels = sorted(Path(name).glob("*.whl"))
        if len(wheels) != 1:
            raise BuildError(f"the build left {len(wheels)} wheels instead of one", where=str(folder))
        content = _canonical(wheels[0])
        digest = hashlib.sha256(content).hexdigest()
        with store.publish("wheels", digest, ".whl") as temporary:
            temporary.write_bytes(content)
        with store.publish("built", key, ".txt") as temporary:
            temporary.write_text(f"{wheels[0].name}\n{digest}", encoding="utf-8")
        return wheels[0].name, digest


def _canonical(wheel: Path) -> bytes:
    """Return the wheel packed as layerkit packs: the same bytes whatever zlib the backend's Python has."""
    from layerkit.archive import Archive, Piece, write_zip

    path = wheel.with_suffix(".zip")
    with Archive.open(wheel, name=wheel.name) as archive:
        pieces = [
            Piece(name=member.name, data=partial(archive.read, member), executable=member.executable)
            for member in archive.members
        ]
        write_zip(path, pieces)
    return path.read_bytes()


def place(wheel: Path, named: Path) -> Path:
    """Give a wheel of the store its own name again, which uv reads, beside the project's locks."""
    content = wheel.read_bytes()
    if not named.exists() or named.read_bytes() != content:
        write_bytes(named, content)
    return named


def build_sdist(folder: Path, store: Store, *, offline: bool) -> tuple[str, str, WheelRef]:
    """Return name, version and source archive that a folder builds into; the archive is in the store.

    Raises BuildError with the last lines that the backend printed.
    """
    from packaging.utils import InvalidSdistFilename, parse_sdist_filename

    with tempfile.TemporaryDirectory(prefix="layerkit-") as name:
        _run(folder, Path(name), "--sdist", offline=offline)
        archives = sorted(Path(name).glob("*.tar.gz"))
        if len(archives) != 1:
            raise BuildError(
                f"the build left {len(archives)} source archives instead of one", where=str(folder)
            )
        content = archives[0].read_bytes()
    try:
        package, version = parse_sdist_filename(archives[0].name)
    except InvalidSdistFilename as error:
        raise BuildError(str(error), where=str(folder)) from error
    digest = hashlib.sha256(content).hexdigest()
    with store.publish("sdists", digest) as temporary:
        temporary.write_bytes(content)
    return package, str(version), WheelRef(filename=archives[0].name, sha256=digest, size=len(content))


def _run(folder: Path, output: Path, what: str, *, offline: bool) -> None:
    """Run `uv build`; what it prints is shown only when it fails."""
    command = [
        uv_binary(),
        "build",
        what,
        "--no-progress",
        "--color",
        "never",
        "--python",
        sys.executable,
    ]
    command += ["--out-dir", str(output), *(["--offline"] if offline else []), str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        said = redact(done.stderr.decode("utf-8", "replace")).strip().splitlines()
        raise BuildError(
            "its own build backend failed:\n" + "\n".join(f"  {line}" for line in said[-_LAST_LINES:]),
            where=str(folder),
            fix=f"`uv build {what} {folder}` shows all of it",
        )


def refuse_foreign(wheel: Path, target: Target) -> None:
    """Refuse a local wheel that was built for another machine than the target's.

    A folder with extension modules builds for this machine; that it may be the same processor
    does not make its glibc the runtime's.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        tags = {str(tag) for tag in parse_wheel_filename(wheel.name)[3]}
    except InvalidWheelFilename as error:
        raise WheelError(str(error), where=str(wheel)) from error
    # The bare linux tag promises nothing about glibc, so a build of this machine does not count.
    fitting = [tag for tag in target.tags() if not tag.endswith(f"-linux_{target.machine}")]
    if tags.isdisjoint(fitting):
        raise BuildError(
            f"{wheel.name} is not for {target.key}",
            where=str(wheel.parent),
            fix="extension modules have to be built in the runtime's image: layerkit does that where Docker"
            " is (--engine auto, and an engine that runs); or name the finished wheel instead",
        )
