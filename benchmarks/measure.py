"""How a figure is taken: wall seconds around the process, peak memory from wait4."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TAIL = 3


class RunError(Exception):
    """A measured program ended with an exit code other than 0; the text is one line."""


class Sample(Struct, frozen=True, kw_only=True):
    """One run: wall seconds, and bytes of the largest resident set of any of its processes."""

    seconds: float
    rss: int

    def __add__(self, other: Sample) -> Sample:
        """Join two steps of one run: times add up, memory is the larger one."""
        return Sample(seconds=self.seconds + other.seconds, rss=max(self.rss, other.rss))


class Step(Struct, frozen=True, kw_only=True):
    """One process; its stdout goes to a file of its own if the work is written there."""

    argv: tuple[str, ...]
    stdout: Path | None = None


class Job(Struct, frozen=True, kw_only=True):
    """What one tool does for one set: shared steps, then the steps of each row of the table.

    Two rows that differ only in how the same folder is zipped share the installing; the figure of each is
    the sum. `clean` is removed before every run; `products` are globs below `cwd`, of what a row leaves.
    """

    cwd: Path
    env: Mapping[str, str]
    shared: tuple[Step, ...] = ()
    rows: Mapping[str, tuple[Step, ...]]
    clean: tuple[Path, ...] = ()
    products: Mapping[str, str] = field(default_factory=dict)


def run(step: Step, cwd: Path, env: Mapping[str, str], log: Path) -> Sample:
    """Run one process to its end and measure it.

    The kernel counts the memory of the starting process into the child's peak until the child's own
    program is loaded; the driver is therefore kept small, below any tool that is measured here.
    """
    with ExitStack() as files:
        talk = files.enter_context(log.open("wb"))
        out = files.enter_context(step.stdout.open("wb")) if step.stdout else talk
        start = time.perf_counter()
        process = subprocess.Popen(
            step.argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=talk
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()[-TAIL:]
        raise RunError(
            f"{step.argv[0].rpartition('/')[2]} ended with {process.returncode}: {' / '.join(lines)}"
        )
    return Sample(seconds=seconds, rss=usage.ru_maxrss * 1024)


def run_job(job: Job, log: Path) -> dict[str, Sample]:
    """Remove what an earlier run left, then measure every row of the job once.

    Pages that earlier runs have yet to write are flushed first, so that nobody pays for another's output.
    """
    for path in job.clean:
        shutil.rmtree(path, ignore_errors=True)
    job.cwd.mkdir(parents=True, exist_ok=True)
    os.sync()
    before = Sample(seconds=0.0, rss=0)
    for step in job.shared:
        before += run(step, job.cwd, job.env, log)
    samples = {}
    for row, steps in job.rows.items():
        sample = before
        for step in steps:
            sample += run(step, job.cwd, job.env, log)
        samples[row] = sample
    return samples
