"""The planner against every division there is, and on more than can be tried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerkit.plan.auto import Case, divide, search, solver
from layerkit.plan.auto.blocks import blocks
from layerkit.plan.auto.case import broken, cost
from planning import large

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FUNCTIONS = ("api", "batch", "cron", "queue")
PACKAGES = ("a", "b", "c", "d", "e", "f")

Partition = list[list[str]]


def partitions(names: list[str]) -> Iterator[Partition]:
    """Yield every way to divide names into groups."""
    if not names:
        yield []
        return
    first, *rest = names
    for division in partitions(rest):
        for index, group in enumerate(division):
            yield [*division[:index], [first, *group], *division[index + 1 :]]
        yield [[first], *division]


def price(case: Case, division: Partition) -> tuple[int, ...] | None:
    """Return what a division costs, told from sets of names alone; None where Lambda would refuse it."""
    waste = 0
    for function, needed in case.needs.items():
        loaded = [group for group in division if needed & set(group)]
        size = sum(case.sizes[name][0] for group in loaded for name in group)
        if len(loaded) > case.slots[function] or size > case.room[function]:
            return None
        waste += size - sum(case.sizes[name][0] for name in needed)
    zips = [sum(case.sizes[name][1] for name in group) for group in division]
    return (
        waste,
        sum(size > case.direct for size in zips),
        len(division),
        _moved(case, division),
        sum(
            size
            for size, group in zip(zips, division, strict=True)
            if any(case.sizes[name][1] <= case.direct / 16 for name in group)
        ),
    )


def _moved(case: Case, division: Partition) -> int:
    """Return how many packages are not with the heir of their old layer; heirs go by bytes in common."""
    shared = {
        (name, index): sum(case.sizes[one][1] + 1 for one in old & set(group))
        for name, old in case.before.items()
        for index, group in enumerate(division)
        if old & set(group)
    }
    heirs: dict[str, int] = {}
    ranked = sorted(shared.items(), key=lambda one: (-one[1], one[0][0], sorted(division[one[0][1]])))
    for (name, index), _ in ranked:
        if name not in heirs and index not in heirs.values():
            heirs[name] = index
    placed = {one: index for index, group in enumerate(division) for one in group}
    return sum(
        heirs.get(name) != placed[one] for name, old in case.before.items() for one in old & placed.keys()
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    packages = PACKAGES[: draw(st.integers(1, len(PACKAGES)))]
    functions = FUNCTIONS[: draw(st.integers(1, len(FUNCTIONS)))]
    largest = draw(st.sampled_from([6, 200_000_000]))
    sizes = {}
    for name in packages:
        unzipped = draw(st.integers(1, largest))
        sizes[name] = (unzipped, draw(st.integers(1, unzipped)))
    needs = {name: frozenset(draw(st.sets(st.sampled_from(packages)))) for name in functions}
    total = sum(size for size, _ in sizes.values())
    before: dict[str, set[str]] = {}
    for name in packages:
        if layer := draw(st.sampled_from(["", "one", "two"])):
            before.setdefault(layer, set()).add(name)
    return Case(
        needs=needs,
        room={name: draw(st.integers(total // 2, total)) for name in functions},
        sizes=sizes,
        before={name: frozenset(held) for name, held in before.items()},
        slots={name: draw(st.integers(1, 3)) for name in functions},
        direct=draw(st.integers(1, total)),
    )


@settings(max_examples=2000, deadline=None)
@given(cases())
def test_a_small_case_is_divided_as_well_as_can_be(case: Case) -> None:
    needed = sorted(set().union(*case.needs.values()))
    prices = [found for one in partitions(needed) if (found := price(case, one)) is not None]
    division = divide(case)
    if not prices:
        assert division is None
        return
    assert division is not None
    assert division.proved
    assert price(case, [list(names) for names in division.layers.values()]) == tuple(division.cost)
    assert tuple(division.cost) == min(prices)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_the_search_tells_the_truth_about_what_it_found(case: Case) -> None:
    parts = blocks(case, 99)
    layers, seen = search.divide(case, parts)
    found = price(case, [list(layer.packages) for layer in layers])
    assert (found is None) == bool(broken(case, layers))
    assert found is None or found == tuple(cost(case, layers))
    assert {block for part in seen for block in part} == set(parts)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_large_case_is_divided_soundly_and_always_alike(seed: int) -> None:
    case = large(seed, packages=80, functions=12)
    division = divide(case)
    assert division is not None
    assert not division.proved
    assert price(case, [list(names) for names in division.layers.values()]) == tuple(division.cost)
    assert divide(case) == division


def test_one_stack_is_split_so_that_each_part_can_be_uploaded_directly() -> None:
    sizes = {"numpy": (60, 20), "scipy": (100, 35), "pandas": (60, 13), "six": (1, 1), "pytz": (2, 1)}
    division = divide(_stack(sizes, direct=40))
    assert division is not None
    assert division.cost.indirect == 0
    # The small ones lie together: a release of one of them does not upload scipy again.
    assert division.layers == {"numpy": ("numpy", "pandas", "pytz", "six"), "scipy": ("scipy",)}


def test_a_package_that_changes_size_stays_where_it_was() -> None:
    sizes = {"numpy": (60, 20), "scipy": (100, 35), "pandas": (60, 13), "six": (1, 1), "pytz": (2, 1)}
    before = {"slow": frozenset({"scipy", "six"}), "other": frozenset({"numpy", "pandas", "pytz"})}
    division = divide(_stack(sizes, direct=40, before=before))
    assert division is not None
    assert {name: frozenset(held) for name, held in division.layers.items()} == before
    grown = divide(_stack({**sizes, "pytz": (4, 2), "new": (3, 1)}, direct=40, before=before))
    assert grown is not None
    assert grown.layers["slow"] in {("scipy", "six"), ("new", "scipy", "six")}
    assert grown.cost.moved == 0


def _stack(
    sizes: Mapping[str, tuple[int, int]], direct: int, before: Mapping[str, frozenset[str]] | None = None
) -> Case:
    needs = {"all": frozenset(sizes)}
    return Case(
        needs=needs, room={"all": 1000}, slots={"all": 5}, sizes=sizes, before=before or {}, direct=direct
    )


@pytest.mark.skipif(not solver.installed(), reason="the extra `planner` (HiGHS) is not installed")
@settings(max_examples=150, deadline=None)
@given(cases())
def test_highs_finds_the_best_among_all_layers_there_are(case: Case) -> None:
    parts = blocks(case, 99)
    everything = {
        frozenset(block for bit, block in enumerate(parts) if mask >> bit & 1)
        for mask in range(1, 1 << len(parts))
    }
    found = solver.chosen(case, parts, everything)
    needed = sorted(set().union(*case.needs.values()))
    prices = [one[:3] for each in partitions(needed) if (one := price(case, each)) is not None]
    if found is not None:
        assert tuple(cost(case, found))[:1] <= min(prices)[:1]
    elif needed:
        assert not prices
