"""What an empty machine with the shared store has to do: `make shared-store-proof`.

Every machine is a fresh HOME, store and output folder, the bucket moto's server, over HTTP. The first builds
a project from nothing and fills the bucket. The others have the project with its locks, and every connection
to anywhere but the bucket ends at a gate that counts it and lets nothing through. Exit code 1 where one of
them fetches or prepares a wheel, reaches for the gate, or writes other bytes; and where a machine without the
shared store does not fail at that gate. The figures go to stdout and, for all of lambda/, into
docs/shared-store.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from aws import Cloud, variables
from layerkit.project import load
from machine import first_match
from table import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "shared-store.md"
HEADING = "## What it saves\n"
TEXT = """\
Written by `make shared-store-proof`: {project}, {targets}, the bucket moto's server on this machine. Every
machine has a HOME, a store and an output folder of its own, with nothing in them; the others have the locks
of the first. All that they ask for elsewhere than in the bucket ends at a gate that lets nothing through;
nobody asked. Zips and manifests are the same bytes. MB are 10^6 bytes."""
HEAD = ("machine", "wheels prepared", "requests", "MB received", "seconds", "of the first build")
BUCKET, PREFIX = "proof", "store"
_PREPARING = re.compile(r": preparing (\d+) wheel")
_LATER = ("empty, with finished layers", "empty, with prepared wheels alone")
_LONGEST = 3600


class ProofError(Exception):
    """What was to be proved is not so; the text is one line, and the output of what was run."""


class Build(Struct, frozen=True, kw_only=True):
    """One machine's build: seconds, what was prepared and received, and the files by their path."""

    seconds: float
    prepared: int
    requests: int
    received: int
    files: Mapping[str, bytes]

    def row(self, name: str, first: Build) -> tuple[str, ...]:
        """Return what the table says of it."""
        return (
            name,
            str(self.prepared),
            str(self.requests),
            f"{self.received / 1e6:,.1f}",
            f"{self.seconds:.1f}",
            f"{100 * self.seconds / first.seconds:.0f} %",
        )


class Gate(Struct, frozen=True, kw_only=True):
    """A proxy that counts who asks it and lets nobody through."""

    url: str
    asked: Counter[str]


@contextmanager
def gate() -> Iterator[Gate]:
    """Stand at a free port of the loopback."""
    asked: Counter[str] = Counter()

    class Refusing(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked[self.rfile.readline(1000).decode("latin-1").strip()] += 1
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Gate(url=f"http://127.0.0.1:{server.server_address[1]}", asked=asked)
        server.shutdown()


class Proof(Struct, frozen=True, kw_only=True):
    """A project, what a build of it is asked for, where machines are made, the bucket and the gate."""

    project: Path
    options: Sequence[str]
    folder: Path
    cloud: Cloud
    gate: Gate

    def first(self) -> Build:
        """Build from nothing, and fill the bucket."""
        self.cloud.client("s3", "us-east-1").create_bucket(Bucket=BUCKET)
        machine = self._machine("first", self.project)
        found = self._build(machine, self._shared(machine))
        if not found.prepared:
            raise ProofError("the first build prepared nothing")
        return found

    def later(self, name: str, first: Build) -> Build:
        """Build on an empty machine that has the locks. Raises ProofError where it is not as it should be."""
        machine = self._machine(name, self.folder / "first" / "project")
        found = self._build(machine, self._shared(machine) | self._closed(), "--locked")
        wheels = [*(machine / "cache" / "wheels").rglob("*.whl")]
        if found.prepared or wheels or self.gate.asked:
            raise ProofError(f"{name}: {found.prepared} prepared, {len(wheels)} wheels, {self.gate.asked}")
        if differing := sorted(one for one in first.files if found.files.get(one) != first.files[one]):
            raise ProofError(f"{name}: other bytes: {', '.join(differing)}")
        return found

    def forget(self, *kinds: str) -> None:
        """Remove kinds of objects from the bucket."""
        client = self.cloud.client("s3", "us-east-1")
        for kind in kinds:
            pages = client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/{kind}/"):
                for one in page.get("Contents", ()):
                    client.delete_object(Bucket=BUCKET, Key=one["Key"])

    def held_back(self) -> None:
        """Raise ProofError unless a machine without the shared store fails at the gate."""
        machine = self._machine("alone", self.folder / "first" / "project")
        try:
            self._build(machine, self._own(machine) | self._closed(), "--locked")
        except ProofError:
            if self.gate.asked:
                self.gate.asked.clear()
                return
        raise ProofError("the gate holds nothing back: a machine without the shared store could build")

    def _machine(self, name: str, project: Path) -> Path:
        """Make a folder with a copy of the project; of what a build leaves beside it the locks alone."""
        machine = self.folder / name
        left = shutil.ignore_patterns("*.state.json", "*.busy", "logs", "dist", ".venv", "__pycache__")
        shutil.copytree(project, machine / "project", ignore=left)
        (machine / "home").mkdir()
        return machine

    def _build(self, machine: Path, environment: Mapping[str, str], *more: str) -> Build:
        output, asked = machine / "layers", len(self.cloud.requests)
        command = [sys.executable, "-m", "layerkit", "build", str(machine / "project")]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--output", str(output), *self.options, *more],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        seconds = time.monotonic() - began
        if done.returncode:
            raise ProofError(f"the build ended with {done.returncode}:\n{done.stderr}")
        counts = machine / "cache" / "shared.json"
        return Build(
            seconds=seconds,
            prepared=sum(map(int, _PREPARING.findall(done.stderr))),
            requests=len(self.cloud.requests) - asked,
            received=json.loads(counts.read_text()).get("received", 0) if counts.exists() else 0,
            files={str(path.relative_to(output)): path.read_bytes() for path in _files(output)},
        )

    def _own(self, machine: Path) -> dict[str, str]:
        """Return the environment of a machine with nothing of this one's but programs and certificates."""
        names = ("XDG_", "AWS_", "LAYERKIT_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        return kept | {
            "HOME": str(machine / "home"),
            "LAYERKIT_CACHE": str(machine / "cache"),
            "UV_CACHE_DIR": str(machine / "uv"),
        }

    def _shared(self, machine: Path) -> dict[str, str]:
        """Add the bucket. It has a name, so that what has a number can be sent to the gate."""
        port = urlsplit(self.cloud.url).port
        return self._own(machine) | {
            **variables(f"http://localhost:{port}", "us-east-1"),
            "LAYERKIT_STORE": f"s3://{BUCKET}/{PREFIX}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _closed(self) -> dict[str, str]:
        """Return what sends every request to the gate but those to the bucket."""
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        proxies = {spelled: self.gate.url for name in names for spelled in (name, name.lower())}
        return proxies | {"NO_PROXY": "localhost", "no_proxy": "localhost"}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def prove(proof: Proof) -> list[tuple[str, ...]]:
    """Return the rows of the table. Raises ProofError."""
    first = proof.first()
    rows = [first.row("first", first)]
    proof.held_back()
    for name in _LATER:
        if "alone" in name:
            proof.forget("layers", "tails")
        rows.append(proof.later(name, first).row(name, first))
        say(" ".join(rows[-1]))
    return rows


def say(text: str) -> None:
    """Talk on stderr: stdout is for the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Prove, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=ROOT / "lambda", help="another project; no page")
    parser.add_argument("--runtime", action="append", default=[], help="in place of the project's; no page")
    asked = parser.parse_args()
    options = [word for runtime in asked.runtime for word in ("--runtime", runtime)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="layerkit-proof-")))
        proof = Proof(
            project=asked.project.resolve(),
            options=options,
            folder=folder,
            cloud=stack.enter_context(Cloud.start()),
            gate=stack.enter_context(gate()),
        )
        try:
            rows = prove(proof)
        except ProofError as error:
            sys.exit(str(error))
    targets = ", ".join(asked.runtime or load(asked.project).runtimes)
    processor = first_match(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.machine()
    said = TEXT.format(project=f"{asked.project.name}/", targets=targets)
    text = f"{HEADING}\n{said} {os.cpu_count()} processors, {processor}.\n\n{aligned(HEAD, rows)}\n"
    print(text)
    if not options and asked.project == ROOT / "lambda":
        PAGE.write_text(PAGE.read_text().partition(HEADING)[0].rstrip() + "\n\n" + text)


if __name__ == "__main__":
    main()
