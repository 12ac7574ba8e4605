"""What the function that makes layers can make with 512 MB of memory and of /tmp: `make add-module-proof`.

Each event goes to the function as it is deployed, under the real awslambdaric: killed above 512 MB of
memory, /tmp a disk of 512 MB, Lambda and S3 moto's server, packages from the index. A function gets the layer
that was made, and imports it. Exit code 1 where anything fails. The figures go into the function's README.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from aws import REGION, Cloud
from confined import unconfined
from deployed import BUCKET, MIB, configured, deploy, runtime_for, sent, undeployable
from lambda_like import Function, FunctionError, missing, started
from layerkit.archive import Archive, Piece, write_zip
from layerkit.overlimit.remaking import Added, record_of
from layerkit.target import target
from loopback import Loopback
from machine import first_match
from real import here, interpreter
from table import aligned
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deployed import Deployed

README = Path(__file__).parent.parent / "lambda" / "add_module" / "README.md"
HEADING = "## What it can make\n"
TEXT = """\
Written by `make add-module-proof`: 512 MB of memory, above which the function is killed, and a disk of 512 MB
as /tmp; packages from the index over the network, Lambda and S3 on this machine. Memory is the function's own
peak and that of uv, added; temporary is the most that lay in /tmp. MB are 10^6 bytes, those two 2^20.
Imported says that a function with the layer, under the real awslambdaric, imported the package and calculated
with it."""
HEAD = (
    "layer",
    "wheels MB",
    "zip MB",
    "unzipped MB",
    "in S3 MB",
    "seconds",
    "memory MB",
    "temporary MB",
    "imported",
)
_CPU_WHEEL = re.compile(r"(torch-[^-]+-cp3\d+-cp(3\d+)-manylinux)_2_\d+(_\w+\.whl)")
_LEARN = (
    "from sklearn.linear_model import LinearRegression as Line\n"
    "assert round(Line().fit([[0], [1], [2]], [1, 3, 5]).predict([[3]])[0]) == 7"
)
_FLOW = "import tensorflow\nassert float(tensorflow.reduce_sum(tensorflow.ones((2, 2)))) == 4"
_TORCH = "import torch\nassert float(torch.ones(2, 2).sum()) == 4"
_APP = "{program}\n\ndef handler(event, context):\n    return True\n"


class Case(Struct, frozen=True, kw_only=True):
    """An event, what a function does with the layer (empty: nothing), and where else packages come from."""

    event: Mapping[str, Any]
    program: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def label(self) -> str:
        """Return what the table calls it."""
        words = [self.event["ModuleName"], "with all it needs" if self.event.get("Dependencies") else "alone"]
        words += [str(self.event[key]) for key in ("Runtime", "Architecture") if key in self.event]
        return " ".join(words) + self.note


def cases(stack: ExitStack, folder: Path) -> list[Case]:
    """Return what is tried; of torch also the CPU wheel of find-links, which an index here offers."""
    found = [
        Case(event={"ModuleName": "scikit-learn", "Dependencies": True}, program=_LEARN),
        Case(event={"ModuleName": "tensorflow-cpu", "Dependencies": True}, program=_FLOW),
        # The last release that wants no CUDA on arm64.
        Case(event={"ModuleName": "torch==2.8.0", "Dependencies": True, "Architecture": "arm64"}),
    ]
    for wheel in sorted(Path(os.environ.get("PIP_FIND_LINKS", "/nowhere")).glob("torch-*.whl")):
        name = _CPU_WHEEL.fullmatch(wheel.name)
        if name and interpreter(f"3.{name[2][1:]}"):
            # It wants a newer glibc than that runtime has. This is about its size, and here it runs.
            _relabelled(wheel, folder / f"{name[1]}_2_17{name[3]}", "manylinux_2_17_")
            index = stack.enter_context(Loopback(folder))
            index.ranges = True
            event = {"ModuleName": "torch", "Dependencies": True, "Runtime": f"python3.{name[2][1:]}"}
            settings = {"UV_INDEX": index.simple}
            found.append(Case(event=event, program=_TORCH, environment=settings, note=", for the CPU"))
    return [*found, Case(event={"ModuleName": "torch"})]


def _relabelled(wheel: Path, copy: Path, platform: str) -> None:
    """Write a wheel again, for another platform by its name and by what it says of itself."""
    with Archive.open(wheel) as archive:
        members = {member.name: member for member in archive.members}
        label, record = (
            next(name for name in members if name.endswith(f".dist-info/{part}"))
            for part in ("WHEEL", "RECORD")
        )
        text = re.sub(r"manylinux_2_\d+_", platform, archive.read(members[label]).decode()).encode()
        added = Added(name=label, size=len(text), digest=hashlib.sha256(text).digest(), data=text)
        rows = record_of(archive.read(members[record]).decode(), {label}, [added]).encode()
        changed = {label: text, record: rows}
        write_zip(
            copy,
            [
                Piece(name=name, data=changed[name]) if name in changed else Piece.copy(archive, member)
                for name, member in members.items()
            ],
        )


class Proof(Struct, frozen=True, kw_only=True):
    """Where all of it happens."""

    made: Deployed
    cloud: Cloud
    folder: Path

    def row(self, case: Case) -> tuple[str, ...]:
        """Have one layer made, and used. Raises FunctionError."""
        zips, began = sent(self.cloud), time.monotonic()
        with started(
            configured(self.made, self.cloud, environment=case.environment), self.folder / "run"
        ) as running:
            reply = running.invoke(case.event)
        seconds = time.monotonic() - began
        if reply["StatusCode"] != 200:
            raise FunctionError({"errorType": reply["FunctionError"], "errorMessage": reply["Payload"]})
        frames = self._frames(reply.get("Frames", []))
        imported = self._used(case, reply, zips[-1]) if case.program else "-"
        figures = [reply["Read"] / 1e6, len(zips[-1]) / 1e6, reply["Unzipped"] / 1e6, frames / 1e6, seconds]
        return (case.label, *map("{:.0f}".format, [*figures, reply["Peak"], reply["Tmp"]]), imported)

    def _frames(self, names: list[str]) -> int:
        """Return the bytes of frames that no layer holds."""
        s3 = self.cloud.client("s3")
        return sum(s3.head_object(Bucket=BUCKET, Key=f"frames/{name}")["ContentLength"] for name in names)

    def _used(self, case: Case, reply: dict[str, Any], content: bytes) -> str:
        """Give the layer to a function that imports it, and call that."""
        on = target(case.event.get("Runtime", self.made.on.runtime), here() or "")
        python, folder = interpreter(on.minor), self.folder / reply["LayerName"]
        if python is None:
            return "no Python"
        runtime = self.made.runtime if on == self.made.on else runtime_for(on, python, folder / "runtime")
        (folder / "task").mkdir(parents=True)
        (folder / "task" / "app.py").write_text(_APP.format(program=case.program))
        (folder / "layer.zip").write_bytes(content)
        unzip(folder / "layer.zip", folder / "opt")
        user = Function(
            target=on,
            opt=folder / "opt",
            task=folder / "task",
            runtime=runtime,
            python=python,
            tmp=reply.get("EphemeralStorage", 512) * MIB,
            timeout=300,
        )
        with started(user, folder / "run") as running:
            running.invoke({})
        shutil.rmtree(folder)
        return "yes"


def say(text: str) -> None:
    """Talk on stderr: stdout is for the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Try, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="try only what has this in its name, and write nothing")
    arguments = parser.parse_args()
    if reason := missing() or undeployable() or unconfined():
        sys.exit(reason)
    rows, faults = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="layerkit-proof-")))
        (folder / "wheels").mkdir()
        cloud = stack.enter_context(Cloud.start())
        cloud.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        proof = Proof(made=deploy(folder), cloud=cloud, folder=folder)
        for case in cases(stack, folder / "wheels"):
            if (arguments.only or "") in case.label:
                try:
                    rows.append(proof.row(case))
                    say(" ".join(rows[-1]))
                except FunctionError as error:
                    faults.append(f"{case.label}: {error}")
                    say(faults[-1])
    processor = first_match(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.machine()
    text = f"{HEADING}\n{TEXT} {os.cpu_count()} processors, {processor}.\n\n{aligned(HEAD, rows)}\n"
    print(text)
    if faults:
        sys.exit("\n".join(faults))
    if not arguments.only:
        README.write_text(README.read_text().partition(HEADING)[0].rstrip() + "\n\n" + text)


if __name__ == "__main__":
    main()
