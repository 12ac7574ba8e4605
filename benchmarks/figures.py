"""What the samples say: medians, ratios, and whether the promises hold."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from measure import Sample
    from weights import Weight

MEGABYTE = 1_000_000
OURS = "layerkit"
PLAIN = "layerkit bytecode=false"
FIRST = "layerkit first"
SDK_DEFAULT = "layerkit sdk=auto"
COLD_OURS = "cold layerkit"
COLD_PEER = "cold uv+zip"
FLOOR = "cat"
UNCHANGED = "unchanged"
VERSION = "--version"
REPOSITORY = (
    "lambda/"  # stands where a set's name stands, for what is measured on the repository's own project
)


class Figures(Struct, kw_only=True):
    """All samples of one session and the weights of what was built, by set and row."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    weights: dict[tuple[str, str], Weight] = field(default_factory=dict)

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

    def ratio(self, name: str, row: str, to: str = OURS) -> float | None:
        """Return how many times longer the row takes than another, by itself layerkit's warm build."""
        theirs, ours = self.seconds(name, row), self.seconds(name, to)
        return theirs / ours if theirs and ours else None

    def weight(self, name: str, row: str, *, zipped: bool, plain: bool) -> int | None:
        """Return the bytes of what a row built, zipped or unzipped, with its bytecode or `plain`."""
        found = self.weights.get((name, row))
        if found is None:
            return None
        found = found.plain() if plain else found
        return found.zipped if zipped else found.unzipped


class Verdict(Struct, frozen=True, kw_only=True):
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


def first_builds(figures: Figures, names: Sequence[str]) -> list[Verdict]:
    """Promise: the first build of all, from wheels on disk, is faster than uv + zip -r -9."""
    values = {name: figures.ratio(name, "uv+zip9", FIRST) for name in names}
    promise = "the first build ever, wheels on disk and nothing prepared, beats uv + zip -r -9"
    five = {"data": values.get("data")}
    return [
        judge(promise, values, lambda value: value > 1, ".1f"),
        judge(f"{promise} on data by a factor of 5", five, lambda value: value >= 5, ".1f"),
    ]


def smaller(figures: Figures, names: Sequence[str], peers: Sequence[str]) -> list[Verdict]:
    """Promise: without bytecode a fixed share of pip's bytes; and never more than the best peer has."""

    def share(name: str, *, zipped: bool) -> float | None:
        ours = figures.weight(name, PLAIN, zipped=zipped, plain=True)
        pips = figures.weight(name, "pip+zip9", zipped=zipped, plain=True)
        return ours / pips if ours and pips else None

    def beside_best(name: str, row: str, others: Sequence[str], *, plain: bool) -> float | None:
        ours = figures.weight(name, row, zipped=True, plain=plain)
        found = [figures.weight(name, other, zipped=True, plain=plain) for other in others]
        known = [weight for weight in found if weight]
        return ours / min(known) if ours and known else None

    without = "without bytecode, of pip install -t (its bytecode removed) + zip -r -9 on data"
    return [
        judge(
            f"at most 0.80 zipped {without}", {"data": share("data", zipped=True)}, lambda v: v <= 0.80, ".3f"
        ),
        judge(
            f"at most 0.76 unzipped {without}",
            {"data": share("data", zipped=False)},
            lambda v: v <= 0.76,
            ".3f",
        ),
        judge(
            "without bytecode the zips are no larger than the best peer's",
            {name: beside_best(name, PLAIN, peers, plain=True) for name in names},
            lambda value: value <= 1,
            ".3f",
        ),
        judge(
            "with bytecode the zips are no larger than those of pip, the one peer that writes any",
            {name: beside_best(name, OURS, ("pip+zip9",), plain=False) for name in names},
            lambda value: value <= 1,
            ".3f",
        ),
    ]


def cold(figures: Figures) -> Verdict:
    """Promise: imports from a cold layer take at most half of what they take without bytecode."""
    value = figures.ratio("data", COLD_OURS, COLD_PEER)
    promise = "cold imports of data take at most 0.5 of the time from layers without valid bytecode"
    return judge(promise, {"data": value}, lambda found: found <= 0.5, ".2f")


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
        *first_builds(figures, names),
        *smaller(figures, names, [*peers]),
        cold(figures),
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
