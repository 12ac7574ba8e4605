"""What the samples say: medians, ratios, and whether the promises hold."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from measure import Sample

MEGABYTE = 1_000_000
OURS = "layerkit"
FIRST = "layerkit first"
SDK_DEFAULT = "layerkit sdk=auto"
FLOOR = "cat"
UNCHANGED = "unchanged"
VERSION = "--version"
REPOSITORY = (
    "lambda/"  # stands where a set's name stands, for what is measured on the repository's own project
)


@dataclass(kw_only=True, slots=True)
class Figures:
    """All samples of one session, by set and row."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)

    def add(self, name: str, row: str, sample: Sample) -> None:
        """Keep one run."""
        self.samples.setdefault((name, row), []).append(sample)

    def seconds(self, name: str, row: str) -> float | None:
        """Return the median of the wall seconds, None where nothing was measured."""
        runs = self.samples.get((name, row))
        return statistics.median(run.seconds for run in runs) if runs else None

    def peak(self, name: str, row: str) -> float | None:
        """Return the largest of the peaks in megabytes: memory that was needed once is needed."""
        runs = self.samples.get((name, row))
        return max(run.rss for run in runs) / MEGABYTE if runs else None

    def ratio(self, name: str, row: str) -> float | None:
        """Return how many times longer the row takes than layerkit's warm build of the same set."""
        theirs, ours = self.seconds(name, row), self.seconds(name, OURS)
        return theirs / ours if theirs and ours else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One promise, its figures in this session, and whether it is met: None if not measured."""

    promise: str
    figures: str
    met: bool | None

    @property
    def word(self) -> str:
        """The verdict as people read it."""
        return {True: "met", False: "NOT MET", None: "not measured"}[self.met]


def judge(
    promise: str, values: dict[str, float | None], holds: Callable[[float], bool], form: str
) -> Verdict:
    """Hold each value against the promise; one that fails decides, else one that is missing does."""
    shown = [f"{name} {'-' if value is None else format(value, form)}" for name, value in values.items()]
    outcomes = [None if value is None else holds(value) for value in values.values()]
    met = False if False in outcomes else None if None in outcomes or not outcomes else True
    return Verdict(promise=promise, figures=", ".join(shown), met=met)


def faster(figures: Figures, row: str, label: str, least: float, names: Sequence[str]) -> Verdict:
    """Promise: the warm build is at least `least` times faster than the row."""
    values = {name: figures.ratio(name, row) for name in names}
    promise = f"at least {least:g} times faster than {label}: {', '.join(names)}"
    return judge(promise, values, lambda value: value >= least, ".1f")


def above_floor(figures: Figures, names: Sequence[str]) -> Verdict:
    """Promise: the warm build takes at most twice as long as `cat` of the wheels, plus 0.2 s."""
    values: dict[str, float | None] = {}
    for name in names:
        floor, ours = figures.seconds(name, FLOOR), figures.seconds(name, OURS)
        values[name] = None if floor is None or ours is None else ours - 2 * floor
    promise = "the warm build takes at most 2 x cat + 0.2 s (shown: seconds above 2 x cat)"
    return judge(promise, values, lambda value: value <= 0.2, ".3f")


def verdicts(figures: Figures, names: Sequence[str], peers: dict[str, str]) -> list[Verdict]:
    """Return every promise with its verdict; `peers` gives the label of each peer's row."""

    def limit(promise: str, values: dict[str, float | None], most: float, form: str) -> Verdict:
        return judge(promise, values, lambda value: value <= most, form)

    unpromised = ("uv+zip", "uv+zip9", "pip-nc+zip")  # uv has promises of its own; the last is for readers
    found = [
        faster(figures, "uv+zip9", peers["uv+zip9"], 50, ("data", "big")),
        faster(figures, "uv+zip", peers["uv+zip"], 20, ("data", "big")),
        faster(figures, "uv+zip", peers["uv+zip"], 6, ("sdk",)),
        faster(figures, "uv+zip", peers["uv+zip"], 3, ("web", "many")),
    ]
    found += [faster(figures, row, label, 10, names) for row, label in peers.items() if row not in unpromised]
    return [
        *found,
        above_floor(figures, names),
        limit(
            "nothing changed: `layerkit build` of all layers in lambda/ takes at most 0.2 s",
            {REPOSITORY: figures.seconds(REPOSITORY, UNCHANGED)},
            0.2,
            ".3f",
        ),
        limit(
            "peak memory of the warm build is at most 120 MB",
            {name: figures.peak(name, OURS) for name in names},
            120,
            ".0f",
        ),
        limit(
            "`layerkit --version` takes at most 0.15 s",
            {VERSION: figures.seconds(REPOSITORY, VERSION)},
            0.15,
            ".3f",
        ),
    ]
