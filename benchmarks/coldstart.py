"""How soon functions with stacks above the limit start: `make bench-coldstart`.

Each stack is built in every way that a function can have it and started as on Lambda (tests/lambda_like.py):
a root of its own, /opt read-only, the real awslambdaric. A start is timed from the process to its first
request for an event, so the handler's imports are in it. For a cold start the pages of layers and code are
dropped from memory before. The ways take turns; medians count. Exit code 1 when a promise is not met.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_like import install_runtime, missing, started
from layerkit.lock.places import uv_binary
from layerkit.target import limit
from machine import describe
from real import interpreter
from stacks import build, science, torch
from table import aligned

if TYPE_CHECKING:
    from stacks import Stack, Way

HERE = Path(__file__).parent
RESULTS = HERE / "COLDSTART.md"
STACKS = {"torch": torch, "science": science}
HEADING = """\
# How soon functions above 250 MB start

Written by `make bench-coldstart`; all figures of a table are from one session, in which the ways took turns.
A start is the time from the process to its first request for an event, with the handler's imports, under the
real awslambdaric. Cold: pages of layers and code dropped from memory before. Nested zip with extractall is
what other tools do, with the same versions. /tmp is a folder on this machine's disk, as Lambda's is."""


def say(text: str) -> None:
    """Talk on stderr: stdout is for the tables."""
    print(text, file=sys.stderr, flush=True)


def forget(folder: Path) -> None:
    """Drop what the system keeps in memory of the files below a folder."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def start(way: Way, folder: Path, *, cold: bool) -> float:
    """Return the seconds of one start."""
    tmp = Path(str(way.function.tmp))
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir()
    os.sync()
    if cold:
        forget(way.function.opt)
        forget(way.function.task)
    with started(way.function, folder) as running:
        return running.init_seconds


def measure(ways: list[Way], folder: Path, runs: int) -> dict[str, dict[bool, float]]:
    """Return the median seconds of each way, by its label, cold (true) and warm."""
    found: dict[str, dict[bool, list[float]]] = {way.label: {True: [], False: []} for way in ways}
    for number in range(runs):
        for cold in (True, False):
            for way in ways:
                seconds = start(way, folder, cold=cold)
                found[way.label][cold].append(seconds)
                say(f"  run {number + 1}, {'cold' if cold else 'warm'}, {way.label}: {seconds:.2f} s")
    return {
        label: {cold: statistics.median(each) for cold, each in by.items()} for label, by in found.items()
    }


def table(stack: Stack, ways: list[Way], figures: dict[str, dict[bool, float]]) -> str:
    """Return the figures of one stack as a table."""
    base = figures[ways[0].label]
    head = ["way", "cold s", "times", "warm s", "times", "zipped MB", "unzipped MB", "layers", "unpacked MB"]
    rows = []
    for way in ways:
        seconds = figures[way.label]
        timed = [
            cell
            for cold in (True, False)
            for cell in (f"{seconds[cold]:.2f}", f"{base[cold] / seconds[cold]:.1f}")
        ]
        sizes = [f"{size / 1e6:.0f}" for size in (way.zipped, way.unzipped)]
        rows.append([way.label, *timed, *sizes, str(way.layers), f"{way.unpacked / 1e6:.0f}"])
    return f"## {stack.name}: {', '.join(stack.roots)} on {stack.on.key}\n\n{aligned(head, rows)}"


def broken(stack: Stack, ways: list[Way], figures: dict[str, dict[bool, float]]) -> list[str]:
    """Return the promises that the figures do not keep."""
    extractall, _, bundle, one, lazy = ways
    faults = []
    for cold in (True, False):
        times = figures[extractall.label][cold] / figures[bundle.label][cold]
        if times < stack.promise:
            kind = "cold" if cold else "warm"
            faults.append(f"{stack.name}, {kind}: {times:.1f} times sooner, and {stack.promise} are promised")
        if figures[lazy.label][cold] >= figures[one.label][cold]:
            faults.append(f"{stack.name}: one package is no sooner there lazily")
    if bundle.unzipped >= limit("unzipped_bytes") or bundle.layers > limit("layers_per_function"):
        faults.append(f"{stack.name}: {bundle.unzipped:,} bytes in {bundle.layers} layers do not fit")
    return faults


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stack", action="append", choices=sorted(STACKS))
    arguments = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    urgent = os.sched_getscheduler(0) != os.SCHED_OTHER
    facts = describe(arguments.runs, {}) + (
        "\n- functions ran before all else on the machine" if urgent else ""
    )
    parts, faults = [HEADING, facts], []
    with tempfile.TemporaryDirectory(prefix="layerkit-coldstart-") as name:
        for kind in arguments.stack or STACKS:
            stack = STACKS[kind]()
            python = interpreter(stack.on.minor)
            if python is None:
                sys.exit(f"{stack.name} wants Python {stack.on.minor}, which is not on this machine")
            runtime = install_runtime(uv_binary(), python, Path(name, f"runtime-{stack.on.minor}"))
            ways = build(stack, Path(name), runtime, say)
            figures = measure(ways, Path(name, "run"), arguments.runs)
            parts.append(table(stack, ways, figures))
            faults += broken(stack, ways, figures)
    text = "\n\n".join([*parts, *(f"Not kept: {fault}" for fault in faults)])
    print(text)
    if not arguments.stack:
        RESULTS.write_text(text + "\n")
    if faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
