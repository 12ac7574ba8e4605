"""The function that makes layers as it is deployed: built by layerkit, and started as on Lambda.

made = deploy(folder)                      # its layer, its code, the runtime with its SDK
function = configured(made, cloud)         # 512 MB of memory and of /tmp, what AWS is by its environment
with started(function, folder) as running:
    running.invoke({"ModuleName": "numpy"})["Peak"]    # what it answers, and what that took
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from aws import variables
from confined import unconfined
from lambda_like import Function, install_runtime
from layerkit.lock.places import uv_binary
from layerkit.target import Target, limit, target
from real import glibc, here, interpreter
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws import Cloud

__all__ = ["BUCKET", "MIB", "ROOT", "Deployed", "configured", "deploy", "runtime_for", "sent", "undeployable"]

ROOT = Path(__file__).parent.parent
MIB = 1 << 20
BUCKET = "zips"
_LEFT_OVER = shutil.ignore_patterns("__pycache__", ".*")
# Says what the function took, in MiB: its own peak of memory and that of the largest program it started,
# which together are more than there was at any time, and the most that lay in /tmp; and the wheels' bytes.
_APP = """
import resource, shutil, threading
from add_module import wheels
from add_module.handler import handler as inner

read, really = [0], wheels.open_remote

def counted(*arguments):
    source = really(*arguments)
    read[0] += source.size
    return source

wheels.open_remote = counted

def handler(event, context):
    used, done = [0], threading.Event()
    read[0] = 0
    def watch():
        before = shutil.disk_usage("/tmp").used
        while not done.wait(0.02):
            used[0] = max(used[0], shutil.disk_usage("/tmp").used - before)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        reply = inner(event, context)
    finally:
        done.set()
        watcher.join()
    with open("/proc/self/status") as status:
        own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10
    reply["Peak"] = own + (resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
    reply["Tmp"] = used[0] >> 20
    reply["Read"] = read[0]
    return reply
"""


class Deployed(Struct, frozen=True, kw_only=True):
    """The function's layer and code, the runtime with its SDK, and an interpreter for it.

    `zips` are the names of the files that it was unzipped from, sorted.
    """

    opt: Path
    task: Path
    runtime: Path
    python: Path
    on: Target
    zips: list[str]


def undeployable() -> str | None:
    """Return what keeps the function from running here, or None."""
    on, arch = target("py312"), here()
    if arch is None or glibc() < on.glibc:
        return "wheels for python3.12 on Lambda do not run here"
    return None if interpreter("3.12") else "there is no Python 3.12 here"


def deploy(folder: Path) -> Deployed:
    """Build the function as `make layers` does, and lay it down as on Lambda."""
    on, python = target("py312", here() or ""), interpreter("3.12")
    assert python
    zips = _built(folder, on)
    runtime = runtime_for(on, python, folder / "runtime")
    opt, task = folder / "opt", folder / "task"
    return Deployed(opt=opt, task=task, runtime=runtime, python=python, on=on, zips=zips)


def _built(folder: Path, on: Target) -> list[str]:
    """Build the function as `make layers` does, and unzip it; return the names of the zips."""
    copy = folder / "repository"
    shutil.copytree(ROOT / "lambda" / "add_module", copy / "lambda" / "add_module", ignore=_LEFT_OVER)
    shutil.copytree(ROOT / "src", copy / "src", ignore=_LEFT_OVER)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "layerkit", "build", "--quiet", "--arch", on.arch]
    subprocess.run([*command, str(copy / "lambda" / "add_module")], check=True, stdout=subprocess.DEVNULL)
    (layer,) = copy.glob("dist/layers/*/*-layerkit.zip")
    (code,) = copy.glob("dist/layers/*/*-code.zip")
    assert layer.stat().st_size <= limit("direct_upload_bytes")
    unzip(layer, folder / "opt")
    unzip(code, folder / "task")
    (folder / "task" / "app.py").write_text(_APP)
    return sorted([layer.name, code.name])


def runtime_for(on: Target, python: Path, folder: Path) -> Path:
    """Install what a runtime brings: awslambdaric, and the SDK."""
    runtime = install_runtime(uv_binary(), python, folder)
    assert on.sdk
    command = [uv_binary(), "pip", "install", "--quiet", "--target", str(runtime), "--python", str(python)]
    subprocess.run([*command, "--only-binary", ":all:", f"boto3=={on.sdk.boto3}"], check=True)
    return runtime


def configured(
    made: Deployed, cloud: Cloud, *, tmp: int = 512, environment: Mapping[str, str] | None = None
) -> Function:
    """Return the function with 512 MB of memory and so many of /tmp, as its configuration has it.

    Where memory cannot be limited here, it is only measured.
    """
    return Function(
        target=made.on,
        opt=made.opt,
        task=made.task,
        runtime=made.runtime,
        python=made.python,
        tmp=tmp * MIB,
        memory=None if unconfined() else 512 * MIB,
        timeout=900,
        environment={
            **variables(cloud.url),
            "LAYER_BUCKET": BUCKET,
            **_way_out(),
            **(environment or {}),
        },
    )


def _way_out() -> dict[str, str]:
    """Return what this machine's environment says about indexes, proxies and certificates."""
    known = ("UV_", "SSL_", "HTTP_", "HTTPS_", "ALL_")
    return {
        name: value for name, value in os.environ.items() if name.startswith(known) and "CACHE" not in name
    }


def sent(cloud: Cloud) -> list[bytes]:
    """Return the zips of the layers that are published from now on, wherever they come from."""
    found: list[bytes] = []

    def hear(document: Any) -> None:
        content = document.get("Content", {})
        if "ZipFile" in content:
            found.append(base64.b64decode(content["ZipFile"]))
        elif "S3Key" in content:
            body = cloud.client("s3").get_object(Bucket=content["S3Bucket"], Key=content["S3Key"])["Body"]
            found.append(body.read())

    cloud.heard = hear
    return found
