"""The managed runtime, as far as it can be had here: an interpreter, awslambdaric, the AWS SDK.

The interpreter is one of this machine, of the runtime's minor version. awslambdaric, which is what runs
handlers on Lambda, comes from the index by uv, with the SDK at the version that the runtime was last
seen with. What was installed stays in the store, as a zip.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.archive import Piece, write_zip
from layerkit.bytecode.finding import find
from layerkit.container.inside import unpack
from layerkit.errors import UsageError
from layerkit.invoke.environment import bootstrap
from layerkit.lock.places import Errand, Here
from layerkit.lock.uv import failure
from layerkit.target import facts, parse_arch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.store import Store
    from layerkit.target import Target

_KIND = "runtimes"
_SUFFIX = ".zip"
_RUNTIME, _PACKAGES = "runtime", "packages"


def interpreter(target: Target, store: Store, *, offline: bool = False) -> Path:
    """Return an interpreter of this machine for a target.

    Raises UsageError where there is none, with how to get one, and for another architecture's target.
    """
    here = parse_arch(platform.machine())
    if target.arch != here:
        fix = f"--arch {here}, or --engine docker, whose engine may emulate {target.arch}"
        raise UsageError(f"this machine is {here} and runs nothing for {target.arch}", fix=fix)
    found = find(target.minor, store, offline=offline)
    if found is None or found.path is None:
        fix = f"`uv python install {target.minor}`, or pyenv, or the system's packages; or --engine docker"
        raise UsageError(f"there is no Python {target.minor} on this machine", fix=fix)
    return Path(found.path)


def install(target: Target, python: Path, store: Store, *, offline: bool = False) -> tuple[Path, Path]:
    """Return the folders that become /var/runtime and the interpreter's own packages; nobody may write there.

    Raises NetworkError or ResolutionError where the packages cannot be had.
    """
    start = hashlib.sha256(bootstrap()).hexdigest()
    said = json.dumps([start, target.minor, sys.platform, platform.machine(), _sdk(target)])
    digest = hashlib.sha256(said.encode()).hexdigest()
    with store.unpacked(digest) as (folder, fresh):
        if fresh and (path := store.find(_KIND, digest, _SUFFIX)):
            unpack.unpack(os.fspath(path), os.fspath(fresh))
        elif fresh:
            _fill(target, python, fresh, offline=offline)
            with store.publish(_KIND, digest, _SUFFIX) as temporary:
                write_zip(temporary, _pieces(fresh))
        if fresh:
            (fresh / _PACKAGES).mkdir(exist_ok=True)
    return folder / _RUNTIME, folder / _PACKAGES


def _sdk(target: Target) -> list[str]:
    """Return the requirements of the SDK that the runtime brings, as far as that is known."""
    if target.sdk is None:
        return ["boto3"]
    return [f"boto3=={target.sdk.boto3}", f"botocore=={target.sdk.botocore}"]


def _fill(target: Target, python: Path, made: Path, *, offline: bool) -> None:
    """Let uv install awslambdaric into `runtime`, and the SDK where the runtime has it."""
    runtime, packages = made / _RUNTIME, made / _PACKAGES
    if str(facts()["runtimes"][target.runtime]["sdk_dir"]).startswith("/var/runtime"):
        _install(python, runtime, ["awslambdaric", *_sdk(target)], offline=offline)
    else:
        _install(python, runtime, ["awslambdaric"], offline=offline)
        _install(python, packages, _sdk(target), offline=offline)
    (runtime / "bootstrap.py").write_bytes(bootstrap())


def _install(python: Path, folder: Path, requirements: list[str], *, offline: bool) -> None:
    command = ["pip", "install", "--target", str(folder), "--python", str(python)]
    command += ["--color", "never", "--link-mode", "copy"]
    if offline:
        command.append("--offline")
    if sys.platform == "linux":  # elsewhere awslambdaric has no wheels and is built
        command += ["--only-binary", ":all:"]
    errand = Errand(arguments=[*command, *requirements], folder=Path.cwd(), shared=folder, environment={})
    told = Here().run(errand)
    if told.code:
        raise failure(told.error)
    _compile(python, folder)


def _compile(python: Path, folder: Path) -> None:
    """Compile what was installed, valid whatever its dates: Lambda's own packages are compiled as well."""
    import subprocess

    how = ("-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash")
    subprocess.run([python, *how, folder], stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - the user's Python


def _pieces(made: Path) -> Iterator[Piece]:
    """Yield the files to be kept, in the order of their names."""
    files = [path for path in made.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda one: one.relative_to(made).as_posix()):
        if path.name != ".lock":
            name = path.relative_to(made).as_posix()
            yield Piece(name=name, data=partial(path.read_bytes), executable=os.access(path, os.X_OK))
