"""Stand-ins for the Lambda images, for machines that reach no container registry.

    python tests/stand_ins.py     # makes them on the engine of DOCKER_HOST, prints their tags

A Debian from debootstrap, with a real interpreter of this machine laid out as on Lambda: the interpreter
in /var/lang, the AWS SDK of the runtime where the runtime has it, /var/task and /opt empty, the
environment of the runtime. `run` has no compiler, `build` has one. glibc is Debian's, and newer than
the runtime's: what is compiled in them has to be looked at as in any image.

Needs root, debootstrap, and an interpreter of each version on this machine. Made once per content: the second
call only looks.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.target import facts, target
from real import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

    from layerkit.target import Target

LABEL = "layerkit-stand-in"
RUNTIMES = ("python3.9", "python3.12")
_SUITE = "bookworm"
_NEEDED = (
    "ca-certificates", "libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libreadline8", "libsqlite3-0",
    "libssl3", "libuuid1", "zlib1g",
)  # fmt: skip
_COMPILERS = ("g++", "gcc", "libc6-dev", "make")
_UNUSED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
_LEFT_OUT = ("__pycache__", "test", "idlelib", "tkinter", "turtledemo", "ensurepip")
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TZ": ":UTC",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin:/usr/sbin:/sbin",
    "LD_LIBRARY_PATH": (
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    ),
}


class StandIns(Struct, frozen=True, kw_only=True):
    """The tags of one runtime's images, and the full version of the Python in them."""

    runtime: str
    python: str
    run: str
    build: str


def make(client: DockerClient) -> dict[str, StandIns]:
    """Return the images of every runtime, made now where the engine does not have them."""
    found = {runtime: _names(target(runtime)) for runtime in RUNTIMES}
    wanted = [tag for one in found.values() for tag in (one.run, one.build)]
    if not all(client.images.list(name=tag) for tag in wanted):
        with tempfile.TemporaryDirectory(prefix="layerkit-stand-in-") as folder:
            _make(client, found, Path(folder))
    return found


def _make(client: DockerClient, found: dict[str, StandIns], folder: Path) -> None:
    """Make the system once, then each runtime's images on it."""
    base = {"run": f"{LABEL}/system:run-{_key()}", "build": f"{LABEL}/system:build-{_key()}"}
    root = folder / "root"
    _command("debootstrap", "--variant=minbase", f"--include={','.join(_NEEDED)}", _SUITE, root, _mirror())
    _import(client, root, base["run"])
    _command("chroot", root, "apt-get", "-qq", "update")
    _command("chroot", root, "apt-get", "-qq", "install", "-y", "--no-install-recommends", *_COMPILERS)
    _import(client, root, base["build"])
    for runtime, names in found.items():
        python = _python_tar(target(runtime), folder)
        for flavour, tag in (("run", names.run), ("build", names.build)):
            client.images.build(
                fileobj=io.BytesIO(_context(base[flavour], python)),
                custom_context=True, tag=tag, rm=True, forcerm=True,
            )  # fmt: skip


def _names(on: Target) -> StandIns:
    """Return the tags of a runtime: they change with everything that decides what is in the images."""
    python = _python(on)
    version = _command(python, "-c", "import platform; print(platform.python_version())").strip()
    key = hashlib.sha256(json.dumps([_key(), version, on.sdk and on.sdk.boto3]).encode()).hexdigest()[:12]
    tag = f"{on.runtime}-{key}"
    return StandIns(
        runtime=on.runtime, python=version, run=f"{LABEL}/run:{tag}", build=f"{LABEL}/build:{tag}"
    )


def _key() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def _python(on: Target) -> str:
    """Return this machine's interpreter of the runtime's version."""
    found = interpreter(on.minor)
    if found is None:
        raise RuntimeError(f"there is no Python {on.minor} on this machine to make a stand-in of")
    return os.path.realpath(found)


def _mirror() -> str:
    """Return where this machine itself gets Debian's packages from."""
    listed = _command(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"
    )
    return next(line.split()[0] for line in listed.splitlines() if line.split()[-1:] == [_SUITE])


def _import(client: DockerClient, root: Path, tag: str) -> None:
    """Make an image of a folder, without what no test reads."""
    for path in _UNUSED:
        shutil.rmtree(root / path, ignore_errors=True)
    repository, _, version = tag.rpartition(":")
    packed = subprocess.run(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
    client.api.import_image_from_data(packed, repository=repository, tag=version)


def _context(base: str, python: bytes) -> bytes:
    """Return what the engine makes a runtime's image from."""
    settings = " ".join(f"{key}={value}" for key, value in _ENVIRONMENT.items())
    dockerfile = f"FROM {base}\nADD python.tar /\nRUN ldconfig\nENV {settings}\nWORKDIR /var/task\n"
    return _tar({"Dockerfile": dockerfile.encode(), "python.tar": python})


def _python_tar(on: Target, folder: Path) -> bytes:
    """Return /var/lang, /var/runtime and the rest, as a tar."""
    prefix = Path(_python(on)).parent.parent
    sdk = folder / f"sdk-{on.runtime}"
    assert on.sdk
    wanted = [f"boto3=={on.sdk.boto3}", f"botocore=={on.sdk.botocore}"]
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--python", _python(on)]
    _command(*uv, "--target", sdk, *wanted)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("var/task", "var/runtime", "opt"):
            tar.addfile(_folder(name))
        tar.add(prefix / "lib", "var/lang/lib", filter=_kept)
        tar.add(prefix / "include", "var/lang/include", filter=_kept)
        tar.add(prefix / "bin" / f"python{on.minor}", f"var/lang/bin/python{on.minor}")
        for name in ("python3", "python"):
            tar.addfile(_link(f"var/lang/bin/{name}", f"python{on.minor}"))
        home = facts()["runtimes"][on.runtime]["sdk_dir"].strip("/")
        for path in sorted(sdk.iterdir()):
            tar.add(path, f"{home}/{path.name}", filter=_kept)
        conf = b"/var/lang/lib\n"
        entry = tarfile.TarInfo("etc/ld.so.conf.d/lang.conf")
        entry.size = len(conf)
        tar.addfile(entry, io.BytesIO(conf))
    return packed.getvalue()


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no runtime has, and the static library, which is the largest file of all."""
    parts = entry.name.split("/")
    if entry.name.endswith(".a") or any(part in _LEFT_OUT for part in parts if "site-packages" not in parts):
        return None
    entry.uid = entry.gid = 0
    return entry


def _folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _link(name: str, to: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, to
    return entry


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _command(*command: str | Path) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def tags(found: dict[str, StandIns]) -> Iterator[str]:
    """Yield a line per runtime."""
    for names in found.values():
        yield f"{names.runtime} (Python {names.python}): run {names.run}, build {names.build}"


if __name__ == "__main__":
    import docker

    print(*tags(make(docker.from_env())), sep="\n")  # noqa: T201
