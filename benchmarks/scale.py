"""How cost grows: many layers on a cluster beside a single process, and on one machine more and more of them.

    make bench-scale                                  # writes benchmarks/SCALE.md
    make bench-scale SCALE="--layers 20 --sizes 5,10" # smaller; prints, and writes nothing

Every wheel is tiny, so what is measured is what layerkit and the cluster cost beside the wheels. The index,
the bucket (moto's server, which stands for S3) and all workers share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from aws import Cloud, variables
from crowd import Crowd
from factory import make_wheel
from layerkit.cluster import open_cluster
from layerkit.cores import cores
from layerkit.far import Far
from layerkit.shared import SharedStore
from loopback import Loopback
from machine import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.cluster import Station

RESULTS = Path(__file__).with_name("SCALE.md")
LAYERS, SIZES = 200, (125, 250, 500, 1000)
FOUR = ("python3.11", "python3.12"), ("x86_64", "arm64")
TWO = ("python3.12",), ("x86_64", "arm64")
_COMMAND = [sys.executable, "-c", "from layerkit.__main__ import main; main()"]
# Counted into a process's memory is what it was started from has, so something small starts it.
_STARTER = """
import os, sys, time
since = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
told = os.waitstatus_to_exitcode(status), time.perf_counter() - since, usage.ru_maxrss
with open(sys.argv[1], "w") as result:
    print(*told, file=result)
"""
_IN_A_STACK = 5
_AGAIN = 3


class Run(Struct, frozen=True, kw_only=True):
    """A command that ran: seconds, the most memory it had in bytes, and what it said."""

    seconds: float
    memory: int
    said: str


def main() -> None:
    """Measure, print, and write the page when all of it was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--sizes", type=_sizes, default=SIZES)
    parser.add_argument("--workers", type=int, default=max(2, cores()))
    arguments = parser.parse_args()
    page = measured(arguments.layers, arguments.sizes, arguments.workers)
    print(page)
    if (arguments.layers, arguments.sizes) == (LAYERS, SIZES):
        RESULTS.write_text(page, encoding="utf-8")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def measured(layers: int, sizes: Sequence[int], workers: int) -> str:
    """Measure both, and return the page."""
    with tempfile.TemporaryDirectory(prefix="layerkit-scale-") as name:
        place = Path(name)
        (place / "wheels").mkdir()
        for number in range(max(layers, *sizes)):
            make_wheel(place / "wheels", f"part-{number:04}")
        for sdk in ("boto3", "botocore"):
            make_wheel(place / "wheels", sdk, "1.42.0")
        with Loopback(place / "wheels") as index:
            environment = _environment(place, index)
            alone = "\n".join(_said(on_one_machine(place, environment, sizes)))
            shared = "\n".join(_said(on_a_cluster(place, environment, layers, workers)))
    versions = {"uv": version("uv"), "distributed": version("distributed"), "moto": version("moto")}
    about = describe(1, versions).replace(
        "1, the median is shown", f"1; of unchanged ones the median of {_AGAIN}"
    )
    head = "# How cost grows\n\nWritten by `make bench-scale`; all figures are from one session."
    return f"{head}\n\n{about}\n\n{shared}\n\n{alone}\n"


def _said(lines: Iterator[str]) -> Iterator[str]:
    """Show lines as they come: stdout is for the whole page."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)
        yield line


def on_a_cluster(place: Path, environment: Mapping[str, str], layers: int, workers: int) -> Iterator[str]:
    """Yield the lines about layers for four targets: a single process, one with a bucket, a cluster."""
    project = _project(place / "cluster", layers, *FOUR)
    _layerkit("lock", project, {**environment, "LAYERKIT_CACHE": str(place / "locking")})
    yield f"## {layers} layers x 4 targets: a single process, and a cluster of {workers} workers\n"
    with Cloud.start() as cloud:
        cloud.client("s3", "us-east-1").create_bucket(Bucket="scale")
        aws = _aws(cloud)
        with Crowd(place / "crowd", workers=workers, environment={**environment, **aws}) as crowd:
            rows = dict(_builds(place, project, {**environment, **aws}, crowd.address))
            null = _null(place, aws, crowd.address, layers * 4)
    total = layers * 4
    yield "| | seconds | per layer | most memory |\n|---|---|---|---|"
    for name, run in rows.items():
        yield f"| {name} | {run.seconds:.2f} | {run.seconds / total * 1e3:.1f} ms | {_mb(run)} |"
    away = rows["cluster"]
    tasks, work = _told(away.said)
    between = max(0.0, away.seconds * workers - work) / tasks
    yield (
        f"\nOn the cluster: {tasks:,} tasks, {work / tasks * 1e3:.1f} ms of work each, through the bucket."
        f" Scheduling overhead per task: {null / total * 1e3:.2f} ms (as many tasks that do nothing, on the"
        f" same cluster); {between * 1e3:.1f} ms is what (seconds x workers - work) / tasks gives, which"
        " counts the start of the process, planning, checking and what workers wait for, too."
    )


def _builds(
    place: Path, project: Path, environment: Mapping[str, str], scheduler: str
) -> Iterator[tuple[str, Run]]:
    """Build the same from empty stores in three ways, and prove that it is the same."""
    far = {"LAYERKIT_STORE": "s3://scale/alone"}
    ways: dict[str, tuple[dict[str, str], list[str]]] = {
        "single process": ({}, []),
        "single process, into a bucket": (far, []),
        "cluster": ({"LAYERKIT_STORE": "s3://scale/cluster"}, ["--scheduler", scheduler]),
    }
    first: dict[str, bytes] = {}
    for name, (more, options) in ways.items():
        output = place / f"out-{len(name)}"
        store = {"LAYERKIT_CACHE": str(place / f"store-{len(name)}")}
        yield (
            name,
            _layerkit(
                "build",
                project,
                {**environment, **store, **more},
                "--locked",
                "--output",
                str(output),
                *options,
            ),
        )
        files = {str(one.relative_to(output)): one.read_bytes() for one in output.rglob("*") if one.is_file()}
        first = first or files
        if files != first:
            raise SystemExit(f"{name}: other bytes than the first")
        shutil.rmtree(output)
        (project / ".layerkit").joinpath(".gitignore").unlink(missing_ok=True)
        for state in (project / ".layerkit").glob("*.state.json"):
            state.unlink()


def _null(place: Path, aws: Mapping[str, str], scheduler: str, count: int) -> float:
    """Return the seconds that so many orders take which do nothing."""

    # Made here, they travel by value: workers have no such module.
    class Null(NamedTuple):
        key: str
        label: str = "null"
        after: tuple[str, ...] = ()

    def do_nothing(_order: Null, _station: Station) -> None:
        pass

    os.environ.update(aws)
    store = SharedStore(place / "null", Far(bucket="scale", prefix="null/"), lambda _text: None)
    with open_cluster(scheduler, store) as cluster:
        cluster.do(do_nothing, [Null(key="0" * 16)], print)
        since = time.perf_counter()
        cluster.do(do_nothing, [Null(key=f"{number + 1:016}") for number in range(count)], print)
        return time.perf_counter() - since


def _told(said: str) -> tuple[int, float]:
    """Return how many orders a build's last words count, and their seconds."""
    (line,) = [one for one in said.splitlines() if " of work" in one and "order" in one]
    words = line.rpartition(": ")[2].split()
    return int(words[0].replace(",", "")), float(words[2])


def on_one_machine(place: Path, environment: Mapping[str, str], sizes: Sequence[int]) -> Iterator[str]:
    """Yield the lines about more and more layers for two targets."""
    yield "## More and more layers x 2 targets, on one machine\n"
    yield (
        "| layers | lock | first build | per layer | most memory | unchanged | per layer | most memory |"
        " reading the manifests |\n|---|---|---|---|---|---|---|---|---|"
    )
    for size in sizes:
        project = _project(place / f"size-{size}", size, *TWO)
        own = {**environment, "LAYERKIT_CACHE": str(place / f"store-{size}")}
        lock = _layerkit("lock", project, own)
        first = _layerkit("build", project, own, "--locked")
        again = [_layerkit("build", project, own, "--locked") for _ in range(_AGAIN)]
        same = Run(
            seconds=median(run.seconds for run in again), memory=max(run.memory for run in again), said=""
        )
        yield (
            f"| {size} | {lock.seconds:.2f} s | {first.seconds:.2f} s | {_each(first, size)} | {_mb(first)} |"
            f" {same.seconds:.2f} s | {_each(same, size)} | {_mb(same)} | {_reading(project):.3f} s |"
        )
        shutil.rmtree(place / f"store-{size}")
    yield (
        "\n`lock` downloads every wheel, too. A layer is counted once per target. Reading the manifests is"
        " `json.loads` of both, without starting a process."
    )


def _each(run: Run, size: int) -> str:
    return f"{run.seconds / (2 * size) * 1e3:.2f} ms"


def _mb(run: Run) -> str:
    return f"{run.memory / 1e6:.0f} MB"


def _reading(project: Path) -> float:
    """Return the seconds that reading all manifests takes."""
    since = time.perf_counter()
    found = [json.loads(path.read_bytes()) for path in project.glob("dist/layers/*/*.json")]
    if not found:
        raise SystemExit("there are no manifests")
    return time.perf_counter() - since


def _project(folder: Path, layers: int, runtimes: Sequence[str], architectures: Sequence[str]) -> Path:
    """Write a project with so many layers of one tiny package each, five to a function."""
    names = [f"l{number:04}" for number in range(layers)]
    text = ["[project]", 'name = "many"', 'version = "1.0"', "", "[tool.layerkit]"]
    text += [f"runtimes = {json.dumps(runtimes)}", f"architectures = {json.dumps(architectures)}"]
    text += ['sdk-version = "1.42.0"', "bytecode = false", "", "[tool.layerkit.layers]"]
    text += [f'{name} = ["part-{number:04}"]' for number, name in enumerate(names)]
    for first in range(0, layers, _IN_A_STACK):
        text += ["", f"[tool.layerkit.functions.f{first:04}]"]
        text += [f"layers = {json.dumps(names[first : first + _IN_A_STACK])}"]
    folder.mkdir()
    (folder / "pyproject.toml").write_text("\n".join(text) + "\n")
    return folder


def _environment(place: Path, index: Loopback) -> dict[str, str]:
    """Return the environment of every process: the one index, and no settings of this machine's user."""
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("UV_", "LAYERKIT_", "AWS_"))
    }
    return {
        **kept,
        "UV_DEFAULT_INDEX": index.simple,
        "UV_CACHE_DIR": str(place / "uv"),
        "UV_NO_CONFIG": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "LAYERKIT_FACTS": str(place / "no facts"),
    }


def _aws(cloud: Cloud) -> dict[str, str]:
    """Return what leads to the bucket, past the front that tests put before it."""
    return variables(f"http://127.0.0.1:{cloud.backend}", "us-east-1") | {"AWS_EC2_METADATA_DISABLED": "true"}


def _layerkit(command: str, project: Path, environment: Mapping[str, str], *options: str) -> Run:
    """Run a command of layerkit on a project, as a process of its own."""
    log, result = project.parent / "log", project.parent / "result"
    with log.open("wb") as out:
        subprocess.run(
            [sys.executable, "-S", "-c", _STARTER, str(result), *_COMMAND, command, str(project), *options],
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=out,
            check=True,
        )
    code, seconds, memory = result.read_text().split()
    said = log.read_text()
    if code != "0":
        raise SystemExit(f"layerkit {command} failed:\n{said[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds=float(seconds), memory=int(memory) * unit, said=said)


if __name__ == "__main__":
    main()
