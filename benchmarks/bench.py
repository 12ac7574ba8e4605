"""Measure layerkit against the tools that people use today: `python benchmarks/bench.py`.

Everything that is needed is set up on the way, in benchmarks/.cache or $LAYERKIT_BENCH_DIR: an
environment for each peer, the wheels of each set, an index that serves them on this machine. The figures
go to stdout and, after a whole session, to benchmarks/RESULTS.md. Exit code 1 when something could not be
run, and with --strict when a promise is not met.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct, field

import coldimport
import ours
from contents import differences
from environments import environment, program, reason_to_leave_out, runtime_python
from figures import COLD_OURS, COLD_PEER, OURS, REPOSITORY, Figures, verdicts
from index import HOST
from machine import describe
from measure import Job, RunError, run_job
from peers import CACHES, PEERS, Peer, Place
from sets import ROOTS, pins, pins_file, repin, wheelhouse
from table import report
from weights import weigh

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
RUNS = 5
HEADING = "# How fast layerkit is\n\nWritten by `make bench`; all figures are from one session."
PORT = 38765  # fixed, because caches keep what they hold under the whole address


def say(text: str) -> None:
    """Talk on stderr: stdout is for the tables."""
    print(text, file=sys.stderr, flush=True)


class Session(Struct, kw_only=True):
    """One run of the benchmark: what was asked for, what was measured, what went wrong."""

    cache: Path
    uv: str
    python: str | None
    runs: int
    names: list[str]
    figures: Figures = field(default_factory=Figures)
    remarks: list[str] = field(default_factory=list)
    failed: bool = False

    def fail(self, text: str) -> None:
        """Keep a failure for the report and the exit code."""
        self.failed = True
        self.remark(text)

    def remark(self, text: str) -> None:
        """Keep a line for the report."""
        if text not in self.remarks:
            self.remarks.append(text)
            say(f"  {text}")

    def attempt(self, name: str, job: Job) -> dict[str, float] | None:
        """Run a job once and keep its samples; a failure is kept instead, and gives None."""
        try:
            samples = run_job(job, self.cache / "log")
        except (RunError, OSError) as error:
            self.fail(f"{'/'.join(job.rows)} on {name}: {error}")
            return None
        for row, sample in samples.items():
            self.figures.add(name, row, sample)
        return {row: sample.seconds for row, sample in samples.items()}

    def warm_up(self, name: str, jobs: list[Job]) -> list[Job]:
        """Run each job once untimed, look into what it left, and return those that work."""
        able = []
        for job in jobs:
            kept = self.figures
            self.figures = Figures()
            worked = self.attempt(name, job) is not None
            self.figures = kept
            if worked:
                able.append(job)
                self.inspect(name, job)
        return able

    def inspect(self, name: str, job: Job) -> None:
        """Say in the report where a product does not hold exactly the pins."""
        for row, product in job.products.items():
            if found := differences(job.cwd, product, pins(name)):
                self.remark(f"{row} on {name} is {found}")
            if weight := weigh(job.cwd, product):
                self.figures.weights[name, row] = weight

    def measure_cold(self, name: str, jobs: list[Job]) -> None:
        """Time the first imports from layerkit's layer and from one without bytecode, both never read yet."""
        products = {row: (job.cwd, product) for job in jobs for row, product in job.products.items()}
        rows = {COLD_OURS: OURS, COLD_PEER: "uv+zip"}
        if name not in coldimport.IMPORTS or not all(row in products for row in rows.values()):
            return
        if not coldimport.possible() or self.python is None:
            self.remark("cold imports left out: they need root and a Python of the runtime's version")
            return
        say(f"{name}: imports from cold layers")
        work = self.cache / "work" / name / "cold"
        layers = {
            row: coldimport.unpack(*products[product], work / str(number))
            for number, (row, product) in enumerate(rows.items())
        }
        for row, samples in coldimport.measure(name, layers, self.python, self.runs).items():
            for sample in samples:
                self.figures.add(name, row, sample)

    def measure(self, name: str, jobs: list[Job]) -> None:
        """Run all jobs in turn, as often as asked: what drifts on the machine, drifts for all of them."""
        say(f"{name}: one run to fill the caches")
        able = self.warm_up(name, jobs)
        for number in range(1, self.runs + 1):
            taken: dict[str, float] = {}
            for job in able:
                taken |= self.attempt(name, job) or {}
            figures = ", ".join(f"{row} {seconds:.2f}" for row, seconds in taken.items())
            say(f"{name}: run {number} of {self.runs}: {figures}")


def serve(folder: Path, stack: ExitStack) -> str:
    """Start the index of this machine and return its address; it ends with the stack."""
    command = [sys.executable, str(HERE / "index.py"), str(folder), str(PORT)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(server.wait)
    stack.callback(server.terminate)
    assert server.stdout is not None  # noqa: S101  it was asked for as a pipe
    stack.enter_context(server.stdout)
    return f"http://{HOST}:{server.stdout.readline().strip()}"


def set_up_peers(session: Session, wanted: list[Peer]) -> dict[str, Path]:
    """Return the environment of each peer that can run here; say in one line why another cannot."""
    ready = {}
    for peer in wanted:
        if reason := reason_to_leave_out(peer, session.python):
            session.remark(reason)
            continue
        say(f"environment of {peer.requirement}")
        try:
            ready[peer.name] = environment(peer, session.python, session.uv, session.cache)
        except subprocess.CalledProcessError as error:
            session.fail(f"{peer.name} could not be installed: exit code {error.returncode}")
    return ready


def jobs_of_set(
    session: Session, name: str, wheels: Path, ready: dict[str, Path], address: str, layerkit: str | None
) -> list[Job]:
    """Return everything that is measured on one set: the floor, layerkit, the peers."""
    work = session.cache / "work" / name
    jobs = [ours.floor(work, wheels)]
    if layerkit:
        jobs += ours.builds(session.cache, layerkit, name)
    for peer in PEERS:
        if peer.name in ready:
            place = Place(
                work=work / peer.name,
                pins=pins_file(name),
                index=f"{address}/{wheels.name}/simple",
                cache=session.cache / CACHES,
                venv=ready[peer.name],
            )
            jobs.append(peer.job(place))
    return jobs


def measure_all(session: Session, wanted: list[Peer], layerkit: str | None) -> None:
    """Set up and measure, set by set."""
    ready = set_up_peers(session, wanted)
    pip = ready.get("pip") or environment(
        next(peer for peer in PEERS if peer.name == "pip"), session.python, session.uv, session.cache
    )
    wheels = {}
    for name in session.names:
        say(f"wheels of {name}")
        wheels[name] = wheelhouse(name, session.cache, pip / "bin" / "python")
    with ExitStack() as stack:
        index = serve(session.cache / "wheels", stack)
        for name in session.names:
            jobs = jobs_of_set(session, name, wheels[name], ready, index, layerkit)
            session.measure(name, jobs)
            session.measure_cold(name, jobs)
            shutil.rmtree(session.cache / "work" / name)  # some gigabytes that nobody reads again
    if layerkit:
        session.measure(
            REPOSITORY, [ours.unchanged(session.cache, layerkit), ours.version(session.cache, layerkit)]
        )


def versions(wanted: list[Peer], layerkit: str | None) -> dict[str, str]:
    """Return the versions of layerkit and the peers."""
    found = {peer.requirement.partition("==")[0]: peer.version for peer in wanted}
    if layerkit:
        talk = subprocess.run([layerkit, "--version"], capture_output=True, text=True, check=False).stdout
        number = re.search(r"\d+(?:\.\w+)+", talk)
        found = {"layerkit": number[0] if number else "unknown"} | found
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure layerkit against the tools that people use today.")
    parser.add_argument("--runs", type=int, default=RUNS, help="timed runs of each (default %(default)s)")
    parser.add_argument(
        "--sets", nargs="+", choices=[*ROOTS], default=[*ROOTS], metavar="SET", help=" ".join(ROOTS)
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument(
        "--peers", nargs="*", choices=names, default=names, metavar="PEER", help=" ".join(names)
    )
    parser.add_argument("--no-layerkit", action="store_true", help="measure the peers alone")
    parser.add_argument("--strict", action="store_true", help="exit code 1 unless every promise is met")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md even after a partial session")
    parser.add_argument("--repin", action="store_true", help="resolve the sets anew and stop")
    return parser.parse_args()


def main() -> int:
    """Do what the command line says and return the exit code."""
    options = arguments()
    uv = program("uv")
    if options.repin:
        for name in options.sets:
            repin(name, uv)
            say(f"{name}: {len(pins(name))} pins")
        return 0
    cache = Path(os.environ.get("LAYERKIT_BENCH_DIR") or HERE / ".cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    session = Session(cache=cache, uv=uv, python=runtime_python(uv), runs=options.runs, names=options.sets)
    wanted = [peer for peer in PEERS if peer.name in options.peers]
    layerkit = None if options.no_layerkit else program("layerkit")
    measure_all(session, wanted, layerkit)
    return finish(session, options, versions(wanted, layerkit))


def finish(session: Session, options: argparse.Namespace, tools: dict[str, str]) -> int:
    """Print the tables, write them if the session was a whole one, and return the exit code."""
    labels = {row: label for peer in PEERS for row, label in peer.rows.items()}
    found = verdicts(session.figures, session.names, labels)
    machine = describe(session.runs, tools)
    tables = report(session.figures, session.names, labels, found, session.remarks)
    page = f"{HEADING}\n\n{machine}\n\n{tables}"
    print(page)
    whole = options.sets == [*ROOTS] and len(options.peers) == len(PEERS) and not options.no_layerkit
    if options.write or (whole and options.runs >= RUNS):
        RESULTS.write_text(page)
    else:
        say(
            f"{RESULTS.name} is left as it was: this was not a whole session (--write writes it all the same)"
        )
    missed = any(one.met is not True for one in found)
    return int(session.failed or (options.strict and missed))


if __name__ == "__main__":
    sys.exit(main())
