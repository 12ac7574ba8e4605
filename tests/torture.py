"""Builds that are killed, crowded, starved and lied to: what is left must be absent or whole.

    python tests/torture.py                 # hundreds of builds; writes docs/torture.md
    python tests/torture.py --scale 0.05    # a few of each

Each trial breaks many builds and says how many, what it did to them, and what was wrong afterwards. The
tests run all of them on a small scale.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from arena import Arena, Ended
from loopback import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "torture.md"
_LOCK = "pylock.py312-x86_64.toml"
_STORAGE_ERROR, _INTERRUPTED = 9, 130
_NOBODY = 65534


class Outcome(Struct, frozen=True, kw_only=True):
    """What a trial did and saw: `builds` that were started, what was done to them, what was wrong."""

    trial: str
    builds: int
    disturbed: int
    what: str
    wrong: tuple[str, ...]


def main() -> None:
    """Run every trial, print the table, and write it down when all of it was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write docs/torture.md")
    arguments = parser.parse_args()
    outcomes = []
    for trial in TRIALS:
        outcomes.append(tried(trial, arguments.scale, arguments.seed))
        print(row(outcomes[-1]), *outcomes[-1].wrong, sep="\n  ", flush=True)  # noqa: T201
    if arguments.write:
        _DOCUMENT.write_text(document(outcomes, arguments.scale), encoding="utf-8")
    sys.exit(any(outcome.wrong for outcome in outcomes))


def tried(trial: Callable[[Arena, int, random.Random], Outcome], scale: float, seed: int) -> Outcome:
    """Run one trial in an arena of its own; `scale` is the share of its builds."""
    count = max(2, round(_COUNTS[trial] * scale))
    with (
        tempfile.TemporaryDirectory(prefix="layerkit-torture-") as folder,
        Arena(Path(folder, "arena")) as arena,
    ):
        return trial(arena, count, random.Random(seed))  # noqa: S311 - moments, not secrets


def row(outcome: Outcome) -> str:
    """Return an outcome as a row of the table."""
    cells = (outcome.trial, outcome.builds, outcome.what, outcome.disturbed, len(outcome.wrong))
    return "| " + " | ".join(map(str, cells)) + " |"


def document(outcomes: Iterable[Outcome], scale: float) -> str:
    """Return the page that the table stands on."""
    return "\n".join(
        (
            "# What builds survive",
            "",
            "`make torture` writes this page: real builds as processes of their own, against an index on the",
            "loopback. A fault is a zip with other bytes than an undisturbed build writes, a file that was",
            "left behind, a build that failed and should not have, an error of more than one message.",
            "",
            "| trial | builds | what was done | times | faults |",
            "|---|---|---|---|---|",
            *map(row, outcomes),
            "",
            f"Scale {scale:g}.",
            "",
        )
    )


def killed(arena: Arena, count: int, chance: random.Random) -> Outcome:
    """SIGKILL at a random moment, from every state a build can begin in; the next build is whole."""
    wrong: list[str] = []
    hit = 0
    for number in range(count):
        _begin(arena, chance)
        ended = arena.interrupted(signal.SIGKILL, chance.uniform(0, arena.seconds))
        hit += ended.code == -signal.SIGKILL
        wrong += (f"kill {number}: {fault}" for fault in arena.faults())
        if number % 10 == 0 or number == count - 1:
            wrong += _recovers(arena, f"after kill {number}")
    return Outcome(trial="killed", builds=count, disturbed=hit, what="SIGKILL", wrong=tuple(wrong))


def interrupted(arena: Arena, count: int, chance: random.Random) -> Outcome:
    """Ctrl-C at a random moment: one line, exit code 130, nothing half-written."""
    wrong: list[str] = []
    hit = 0
    for number in range(count):
        _begin(arena, chance)
        # Python itself needs some 50 ms to be there; before that, a signal meets no program of ours.
        ended = arena.interrupted(signal.SIGINT, chance.uniform(0.15, arena.seconds))
        hit += ended.code != 0
        if ended.code not in {0, _INTERRUPTED} or "Traceback" in ended.said:
            wrong.append(f"interrupt {number}: exit code {ended.code}, {ended.said[-300:]!r}")
        wrong += (f"interrupt {number}: {fault}" for fault in arena.faults())
    wrong += _recovers(arena, "after all interrupts")
    return Outcome(trial="interrupted", builds=count, disturbed=hit, what="SIGINT", wrong=tuple(wrong))


def crowded(arena: Arena, count: int, _: random.Random) -> Outcome:
    """Many builds at once on one store: each writes to a folder of its own, with nothing prepared yet."""
    arena.forget(arena.store, arena.output)
    builds = []
    for number in range(count):
        project = arena.folder / f"project-{number}"
        shutil.copytree(arena.folder / "project", project)
        arena.output = arena.folder / f"dist-{number}"
        builds.append((arena.output, project, arena.start(project=project)))
    wrong: list[str] = []
    for output, project, build in builds:
        ended = arena.ended(build)
        arena.output = output
        if ended.code:
            wrong.append(f"{project.name}: {ended.said[-300:]}")
        wrong += (f"{project.name}: {fault}" for fault in arena.faults(finished=True))
    return Outcome(
        trial="at once", builds=count, disturbed=count - 1, what="others on its store", wrong=tuple(wrong)
    )


def rotten(arena: Arena, count: int, chance: random.Random) -> Outcome:
    """A bit flips in the store, anywhere: the same zips, made from what is fetched or prepared again."""
    wrong: list[str] = []
    for number in range(count):
        path = chance.choice(arena.entries("wheels", "prepared"))
        if path.suffix == ".whl":
            arena.forget(arena.store / "prepared")
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        arena.forget(arena.output)
        wrong += _recovers(arena, f"flip {number} in {path.parent.parent.name}")
    return Outcome(
        trial="rotten store", builds=count, disturbed=count, what="flipped bit", wrong=tuple(wrong)
    )


def starved(arena: Arena, count: int, chance: random.Random) -> Outcome:
    """The disk of the store or of the output is full: one clear error, and the next build is whole."""
    wrong: list[str] = []
    hit = 0
    for number in range(count):
        arena.forget(arena.store, arena.output)
        starving = chance.choice(("store", "output"))
        with _disk(arena.folder / "disk", chance.randrange(64, 7000)) as disk:
            kept = arena.store, arena.output
            setattr(arena, starving, disk / starving)
            ended = arena.build()
            hit += ended.code != 0
            wrong += (f"full {starving} {number}: {fault}" for fault in _one_error(ended, _STORAGE_ERROR))
            wrong += (f"full {starving} {number}: {fault}" for fault in arena.faults())
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            wrong += _recovers(arena, f"after a full {starving} {number}")
            arena.store, arena.output = kept
    return Outcome(trial="disk full", builds=count, disturbed=hit, what="no space left", wrong=tuple(wrong))


def apart(arena: Arena, count: int, _: random.Random) -> Outcome:
    """The store lies on another file system than the output."""
    wrong: list[str] = []
    for number in range(count):
        with _disk(arena.folder / "disk", 64_000) as disk:
            arena.forget(arena.output)
            arena.store = disk / "store"
            wrong += _recovers(arena, f"build {number}")
    return Outcome(
        trial="store elsewhere", builds=count, disturbed=count, what="another disk", wrong=tuple(wrong)
    )


def closed(arena: Arena, count: int, _: random.Random) -> Outcome:
    """The output may not be written to: one clear error, and what was there stays."""
    wrong: list[str] = []
    for number in range(count):
        with _disk(arena.folder / "disk", 64_000) as disk:
            arena.output = disk / "dist"
            if number % 2:
                arena.build()
                (arena.folder / "project" / "api" / "app.py").write_text(f"# {number}\n")
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            wrong += (f"read-only {number}: {fault}" for fault in _one_error(arena.build(), _STORAGE_ERROR))
            (arena.folder / "project" / "api" / "app.py").write_text("def handler(event, context): ...\n")
            wrong += (f"read-only {number}: {fault}" for fault in arena.faults(finished=bool(number % 2)))
    return Outcome(
        trial="read-only output", builds=count, disturbed=count, what="read-only disk", wrong=tuple(wrong)
    )


def lied_to(arena: Arena, count: int, chance: random.Random) -> Outcome:
    """The index falters while wheels come: waited out and repeated, or one clear error for other bytes."""
    wrong: list[str] = []
    names = sorted(
        path.name for path in (arena.folder / "wheels").iterdir() if path.name.startswith(("part", "large"))
    )
    for number in range(count):
        arena.forget(arena.store, arena.output)
        what, fault = chance.choice(list(_FAULTS.items()))
        arena.index.script(chance.choice(names), fault)
        if what == "changed file":
            ended = arena.build("--locked")
            wrong += (f"{what} {number}: {one}" for one in _one_error(ended, 5, 8))
        wrong += _recovers(arena, f"{what} {number}")
    return Outcome(
        trial="faltering index",
        builds=count,
        disturbed=count,
        what="429, 503, reset, cut, slow, changed",
        wrong=tuple(wrong),
    )


_FAULTS = {
    "429": Fault(status=429, headers={"Retry-After": "0"}),
    "503": Fault(status=503),
    "reset": Fault(reset_after=300),
    "cut short": Fault(end_after=300),
    "slow": Fault(wait=0.5),
    "changed file": Fault(body=b"another file of that name"),
}
_COUNTS: dict[Callable[[Arena, int, random.Random], Outcome], int] = {
    killed: 300,
    interrupted: 100,
    crowded: 20,
    rotten: 100,
    starved: 40,
    apart: 5,
    closed: 6,
    lied_to: 40,
}
TRIALS = tuple(_COUNTS)


def _begin(arena: Arena, chance: random.Random) -> None:
    """Take away some of what earlier builds left, so that builds begin in all kinds of states."""
    lock = arena.folder / "project" / ".layerkit" / _LOCK
    kinds = (arena.output, lock, arena.store / "prepared", arena.store / "wheels", arena.store)
    arena.forget(arena.output, *(one for one in kinds if chance.random() < 0.4))


def _recovers(arena: Arena, when: str) -> Iterator[str]:
    """Build undisturbed, and say what is wrong after it."""
    ended = arena.build()
    if ended.code:
        yield f"{when}: exit code {ended.code}: {ended.said[-300:]}"
    yield from (f"{when}: {fault}" for fault in arena.faults(finished=True))


def _one_error(ended: Ended, *codes: int) -> Iterator[str]:
    """Say what is wrong with how a build failed; one that succeeded all the same is fine."""
    if ended.code == 0:
        return
    if ended.code not in codes:
        yield f"exit code {ended.code}: {ended.said[-300:]}"
    if ended.said.count("error:") != 1 or "Traceback" in ended.said:
        yield f"not one clear error: {ended.said[-300:]}"


@contextmanager
def _disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a file system of some kilobytes in memory; needs root."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


if __name__ == "__main__":
    main()
