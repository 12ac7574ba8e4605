"""What `layerkit check` finds in the zips of other tools: this script, or `make check-peers`.

Every peer of the benchmark builds the set, as there, and its zip is checked for the runtime; a folder is
zipped by `zip -r` first. The table goes to stdout and docs/check-peers.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import serve
from environments import environment, reason_to_leave_out, runtime_python
from layerkit.lock.places import uv_binary
from measure import run_job
from peers import CACHES, PEERS, RUNTIME, Place
from sets import pins_file, wheelhouse
from table import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The target of the benchmark, and two that the same zip is wrong for.
TARGETS = ((RUNTIME, "x86_64"), ("python3.11", "x86_64"), (RUNTIME, "arm64"))
HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "check-peers.md"
HEAD = f"""# What `layerkit check` finds in the zips of other tools

`make check-peers` writes this page: the tools of the benchmark build the same pins for {RUNTIME} on x86_64,
and their zips are checked as they are: for that target, where these tools mostly do well, and for two others,
as when a zip meets another function. What each code means, and what to do: [check.md](check.md).

"""


def say(text: str) -> None:
    """Talk to the user."""
    print(text, file=sys.stderr, flush=True)


def zips(name: str, cache: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield (tool, row, zip) of every peer that can run here, for the set `name`."""
    uv = uv_binary()
    python = runtime_python(uv)
    wanted = [peer for peer in PEERS if reason_to_leave_out(peer, python) is None]
    for peer in PEERS:
        if why := reason_to_leave_out(peer, python):
            say(why)
    venvs = {peer.name: environment(peer, python, uv, cache) for peer in wanted}
    wheels = wheelhouse(name, cache, venvs["pip"] / "bin" / "python")
    with ExitStack() as stack:
        index = f"{serve(wheels.parent, stack)}/{wheels.name}/simple"
        for peer in wanted:
            work = cache / "work" / "check" / peer.name
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            place = Place(
                work=work,
                pins=pins_file(name),
                index=index,
                cache=cache / CACHES,
                venv=venvs[peer.name],
            )
            job = peer.job(place)
            say(f"{peer.name} {peer.version} builds {name}")
            run_job(job, cache / "log")
            for row, product in job.products.items():
                yield f"{peer.name} {peer.version}", peer.rows[row], zipped(work / product)
            if peer.name == "pip":
                yield f"{peer.name} {peer.version}", "pip install -t + python -m zipfile", by_python(work)


def zipped(path: Path) -> Path:
    """Return a zip; a folder python/ is made one as users do."""
    if path.is_file():
        return path
    made = path.parent / "layer.zip"
    subprocess.run(["zip", "-q", "-r", str(made), path.name], cwd=path.parent, check=True)
    return made


def by_python(work: Path) -> Path:
    """Return the zip that Python's own module makes of what pip installed, in a later second."""
    made, folder = work / "zipfile.zip", work / "out" / "plain"
    command = [sys.executable, "-m", "zipfile", "-c", str(made), "python"]
    subprocess.run(command, cwd=folder, check=True)
    return made


def checked(path: Path, runtime: str, arch: str) -> list[dict[str, Any]]:
    """Return the findings of `layerkit check` for one zip."""
    command = [sys.executable, "-m", "layerkit", "check", str(path), "--json"]
    command += ["--runtime", runtime, "--arch", arch]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr)
    found: list[dict[str, Any]] = json.loads(done.stdout)["targets"][0]["findings"]
    return found


def rows(name: str, cache: Path) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a set: each zip, and the codes of what is found for each target."""
    for tool, row, path in zips(name, cache):
        yield name, tool, row, *(told(checked(path, *target)) for target in TARGETS)


def told(found: Sequence[dict[str, Any]]) -> str:
    """Return the codes of findings, with how many there are of each."""
    counts = Counter(str(each["code"]) for each in found)
    return (
        ", ".join(f"{code} ({count})" if count > 1 else code for code, count in counts.items()) or "nothing"
    )


def page(found: Sequence[tuple[str, ...]]) -> str:
    """Return the table: rows of (set, tool, how, codes for each target)."""
    return aligned(("set", "tool", "how", *map(" ".join, TARGETS)), found)


def main() -> int:
    """Build, check, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["web", "sdk"], help="sets of the benchmark: web sdk data")
    options = parser.parse_args()
    cache = Path(os.environ.get("LAYERKIT_BENCH_DIR") or HERE / ".cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    found = [row for name in options.sets for row in rows(name, cache)]
    table = page(found)
    print(table)
    PAGE.write_text(f"{HEAD}{table}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
