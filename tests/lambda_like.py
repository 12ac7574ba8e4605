"""A function started as Lambda starts it, without Docker.

In a mount namespace of its own with a root of its own: /opt, /var/task, the interpreter in /var/lang and
the runtime in /var/runtime are read-only, /tmp is as large as the function has, the system's libraries are
this machine's. The real awslambdaric runs the handler, against the Runtime API of `layerkit invoke`, from
which this differs by memory that is limited by the kernel and a /tmp that may be a disk of its own:

    with started(function, folder) as running:
        running.init_seconds               # from the start of the process to its first request for an event
        running.invoke({"number": 1})      # what the handler returns
        running.log()                      # what it said

Needs Linux, and root or namespaces for everybody; `missing()` says what is not there. With `memory` it is
killed where it takes more than that, which needs what `confined` needs.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct, field

from confined import disk, memory_limit
from layerkit.container.stage import Limits, environment
from layerkit.invoke.api import Event, RuntimeApi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerkit.invoke.api import Said
    from layerkit.target import Target

_PATIENCE = 60.0  # seconds that a function may take for anything
_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:function"

# Lays out a root and becomes the command in it. Every mount goes with the namespace.
_ROOM = """
set -eu
path=$PATH
PATH=$PATH:/usr/sbin:/sbin
root=$1 opt=$2 task=$3 runtime=$4 lang=$5 tmp=$6 group=$7
shift 7
[ -z "$group" ] || echo $$ >"$group"
bind() { mkdir -p "$root$2"; mount --bind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; }
mount -t tmpfs -o mode=755 none "$root"
for name in usr bin sbin lib lib32 lib64 libx32 etc; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"
    elif [ -d "/$name" ]; then bind "/$name" "/$name"; fi
done
bind "$opt" /opt
bind "$task" /var/task
bind "$runtime" /var/runtime
bind "$lang" /var/lang
mkdir "$root/dev" "$root/proc" "$root/tmp"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
if [ -d "$tmp" ]; then mount --bind "$tmp" "$root/tmp"
elif [ -f "$tmp" ]; then mount -o loop "$tmp" "$root/tmp"; chmod 1777 "$root/tmp"
else mount -t tmpfs -o "mode=1777,size=$tmp" none "$root/tmp"; fi
mount -o remount,ro none "$root"
chroot=$(command -v chroot)
PATH=$path exec "$chroot" "$root" /bin/sh -c 'cd /var/task && exec "$@"' sh "$@"
"""

# What the managed runtime does before it hands over to awslambdaric, as facts/runtimes.md tells it.
_BOOTSTRAP = """
import os, site, sys
folders = [os.environ["LAMBDA_TASK_ROOT"]]
if os.environ.get("PYTHONPATH") == os.environ["LAMBDA_RUNTIME_DIR"]:
    folders += ["/opt/python/lib/python%d.%d/site-packages" % sys.version_info[:2], "/opt/python"]
sys.path[:0] = folders
for folder in folders:
    site.addsitedir(folder)
import awslambdaric.__main__
awslambdaric.__main__.main(["bootstrap", os.environ["_HANDLER"]])
"""


class Function(Struct, frozen=True, kw_only=True):
    """What Lambda knows of a function.

    `opt` and `task` are the folders of its unzipped layers and code, `runtime` one with awslambdaric (see
    `install_runtime`), `python` an interpreter of the target's version, `tmp` the bytes of its ephemeral
    storage, which is in memory then, or a folder that is its /tmp; `memory` the bytes above which it is
    killed, and then /tmp is a disk of its own; `timeout` the seconds that it has for anything.
    """

    target: Target
    opt: Path
    task: Path
    runtime: Path
    python: Path
    handler: str = "app.handler"
    environment: Mapping[str, str] = field(default_factory=dict)
    tmp: int | Path = 512 << 20
    memory: int | None = None
    timeout: float = _PATIENCE


class FunctionError(Exception):
    """The function failed: `kind` and `text` as Lambda reports them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the error document that the runtime posts."""
        self.kind, self.text = str(document.get("errorType")), str(document.get("errorMessage"))
        super().__init__(f"{self.kind}: {self.text}")


class Running(Struct, frozen=True, kw_only=True):
    """A function that is ready for events."""

    init_seconds: float
    process: subprocess.Popen[bytes]
    _api: RuntimeApi
    _log: Path
    _timeout: float

    def invoke(self, event: object) -> Any:
        """Send an event and return what the handler returns; FunctionError for what it raises."""
        request, deadline = str(uuid.uuid4()), time.time() + self._timeout
        payload = json.dumps(event).encode()
        self._api.send(Event(request=request, payload=payload, deadline=deadline, arn=_ARN))
        said = _wait(self._api, request, self._timeout, self.process, self._log)
        return json.loads(said.body or b"null")

    def log(self) -> str:
        """Return what the function has written to stdout and stderr."""
        return self._log.read_text(errors="replace")


def missing() -> str | None:
    """Return what keeps functions from being started here, or None."""
    try:
        done = subprocess.run([*_namespace(), "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"there is no unshare: {error}"
    return None if done.returncode == 0 else f"no mount namespaces here: {done.stderr.strip()}"


def without(reason: str) -> NoReturn:
    """Skip a test, or fail it where it has to run: LAYERKIT_NAMESPACE_TESTS=required, as in .ci/run."""
    import pytest

    if os.environ.get("LAYERKIT_NAMESPACE_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


def install_runtime(uv: str, python: Path, folder: Path) -> Path:
    """Install awslambdaric for an interpreter from the index, and the bootstrap that starts it."""
    command = [uv, "pip", "install", "--quiet", "--target", str(folder), "--python", str(python)]
    subprocess.run([*command, "--only-binary", ":all:", "awslambdaric"], check=True)
    (folder / "bootstrap.py").write_text(_BOOTSTRAP)
    return folder


@contextmanager
def started(function: Function, folder: Path) -> Iterator[Running]:
    """Start a function and end it with the block; `folder` is for its root and its log.

    Raises FunctionError where it ends, or says that it failed, before it asks for an event.
    """
    root, log = folder / "root", folder / "log"
    root.mkdir(parents=True, exist_ok=True)
    api = RuntimeApi()
    with api.serving(), _confines(function, folder) as confines:
        mounts = [str(root), *_mounts(function), *confines]
        command = ["/bin/sh", "-c", _ROOM, "room", *mounts, *_command(function)]
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_namespace(), *command],
                env=_environment(function, api.address),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            ready = _wait(api, "", function.timeout, process, log).when
            yield Running(
                init_seconds=ready - began, process=process, _api=api, _log=log, _timeout=function.timeout
            )
        finally:
            process.kill()
            process.wait(_PATIENCE)


def _namespace() -> list[str]:
    """Return the command that gives another one its own mounts."""
    alone = ["unshare", "--mount", "--propagation", "private"]
    return alone if os.getuid() == 0 else [*alone, "--user", "--map-root-user"]


def _mounts(function: Function) -> list[str]:
    """Return what the room is made of, in the order of its arguments."""
    lang = Path(os.path.realpath(function.python)).parent.parent
    return [str(path) for path in (function.opt, function.task, function.runtime, lang)]


@contextmanager
def _confines(function: Function, folder: Path) -> Iterator[list[str]]:
    """Give what /tmp is, and the group of processes that has the function's memory, if that is limited."""
    if function.memory is None:
        yield [str(function.tmp), ""]
        return
    with memory_limit(function.memory) as group, tempfile.TemporaryDirectory(dir=folder) as name:
        tmp = disk(Path(name, "disk"), function.tmp) if isinstance(function.tmp, int) else function.tmp
        yield [str(tmp), str(group)]


def _command(function: Function) -> list[str]:
    """Return what Lambda runs: the runtime, through the wrapper where the function names one."""
    command = [function.target.interpreter, "/var/runtime/bootstrap.py"]
    wrapper = function.environment.get("AWS_LAMBDA_EXEC_WRAPPER")
    return [wrapper, *command] if wrapper else command


def _environment(function: Function, address: str) -> dict[str, str]:
    """Return the environment of a function, with its own variables above Lambda's."""
    lambdas = environment(function.target, Limits())
    own = {"AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": function.handler}
    return {**lambdas, **own, **function.environment}


def _wait(api: RuntimeApi, request: str, timeout: float, process: subprocess.Popen[bytes], log: Path) -> Said:
    """Wait for what the runtime says of a request, or of its start, as long as it lives."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        with suppress(queue.Empty):
            said = api.said.get(timeout=0.05)
            if said.how in ("init-error", "error"):
                raise FunctionError(json.loads(said.body))
            if said.request == request:
                return said
        if process.poll() is not None and api.said.empty():
            words = "" if request else log.read_text(errors="replace").strip()
            text = f"Runtime exited with {process.returncode}: {words}"
            raise FunctionError({"errorType": "Runtime.ExitError", "errorMessage": text})
    raise FunctionError({"errorType": "Sandbox.Timedout", "errorMessage": f"nothing for {timeout} s"})
