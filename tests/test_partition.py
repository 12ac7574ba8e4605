from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from layerkit.errors import ConfigError
from layerkit.target import sdk_set
from locks import PANDAS, REQUESTS, held, left, lock, planned, project

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerkit.lock import Lock
    from layerkit.plan import Plan
    from layerkit.project import Project


def test_package_is_held_by_the_first_layer_that_brings_it() -> None:
    made = planned(project({"base": ["python-dateutil"], "data": ["pandas"]}), lock(PANDAS))
    assert held(made) == {"base": {"python-dateutil", "six"}, "data": {"numpy", "pandas"}}
    assert made.layer("data").beneath == ("base",)


def test_layer_that_names_a_package_holds_it_though_an_earlier_one_brings_it() -> None:
    made = planned(project({"data": ["pandas"], "numeric": ["numpy"]}), lock(PANDAS))
    assert held(made) == {"data": {"pandas", "python-dateutil", "six"}, "numeric": {"numpy"}}
    assert made.layer("data").beneath == ("numeric",)


def test_extra_that_names_what_the_default_layer_brings_leaves_it_there() -> None:
    stacks = {"demo": ["default"], "demo-numeric": ["default", "numeric"]}
    made = planned(project({"default": ["pandas"], "numeric": ["numpy"]}, stacks), lock(PANDAS))
    assert held(made) == {"default": {"numpy", "pandas", "python-dateutil", "six"}, "numeric": set()}
    assert made.stacks[1].layers == ("default",)


def test_layer_in_all_stacks_holds_what_an_earlier_one_brings_in_some() -> None:
    stacks = {"f": ["x"], "g": ["base", "x"]}
    made = planned(project({"base": ["numpy"], "x": ["pandas"]}, stacks), lock(PANDAS))
    assert held(made) == {"base": set(), "x": {"numpy", "pandas", "python-dateutil", "six"}}


def test_layers_that_never_meet_may_hold_the_same_package() -> None:
    stacks = {"f": ["a", "x"], "g": ["b", "x"]}
    made = planned(project({"a": ["numpy"], "b": ["numpy"], "x": ["pandas"]}, stacks), lock(PANDAS))
    assert held(made) == {"a": {"numpy"}, "b": {"numpy"}, "x": {"pandas", "python-dateutil", "six"}}
    assert made.layer("x").beneath == ("a", "b")


def test_self_contained_layers_hold_everything_they_need() -> None:
    stacks = {"base": ["base"], "data": ["data"]}
    made = planned(project({"base": ["numpy"], "data": ["pandas"]}, stacks), lock(PANDAS))
    assert held(made) == {"base": {"numpy"}, "data": {"numpy", "pandas", "python-dateutil", "six"}}


def test_layer_in_no_stack_is_whole() -> None:
    made = planned(project({"base": ["numpy"], "data": ["pandas"]}, {"f": ["base"]}), lock(PANDAS))
    assert held(made)["data"] == {"numpy", "pandas", "python-dateutil", "six"}
    assert [stack.name for stack in made.stacks] == ["f", "data"]


def test_stacks_that_cannot_agree_are_named_with_package_layers_functions_and_a_way_out() -> None:
    stacks = {"f": ["x"], "g": ["base", "x"], "h": ["base"]}
    values = project({"base": ["pandas"], "x": ["pandas", "idna"]}, stacks)
    with pytest.raises(ConfigError) as error:
        planned(values, lock(PANDAS | REQUESTS))
    text = str(error.value)
    assert "numpy, pandas, python-dateutil, six: f (x) has it in x; g (base, x) has it in base" in text
    assert "h (base) has it in base" in text
    assert "idna" not in text
    assert "declare a layer that names numpy among its requirements, and give it to f and g and h" in text


def test_the_way_out_of_a_disagreement_is_one() -> None:
    stacks = {"f": ["x", "shared"], "g": ["base", "x", "shared"], "h": ["base", "shared"]}
    values = project({"base": ["pandas"], "x": ["pandas"], "shared": ["pandas"]}, stacks)
    assert held(planned(values, lock(PANDAS)))["shared"] == {"numpy", "pandas", "python-dateutil", "six"}


# For any lock and any stacks

NAMES = [*"abcdefgh", *sorted(sdk_set())]


@st.composite
def locks(draw: st.DrawFn) -> dict[str, list[str]]:
    """Any graph, cycles included; the extra x of a package brings some of its dependencies."""
    texts = st.sampled_from([f"{name}{extra}" for name in NAMES for extra in ("", "[x]")])
    brings = st.sampled_from(["", " ; x"])
    return {
        name: [f"{text}{extra}" for text, extra in draw(st.lists(st.tuples(texts, brings), max_size=3))]
        for name in NAMES
    }


@st.composite
def projects(draw: st.DrawFn) -> Project:
    count = draw(st.integers(1, 4))
    roots = st.lists(st.sampled_from([f"{n}{e}" for n in NAMES for e in ("", "[x]")]), min_size=1, max_size=3)
    layers: dict[str, Sequence[str]] = {f"l{n}": draw(roots) for n in range(count)}
    some = st.lists(st.sampled_from([*layers]), min_size=1, unique=True)
    stacks = {f"f{n}": draw(some) for n in range(draw(st.integers(1, 3)))}
    return project(layers, stacks, never=draw(st.frozensets(st.sampled_from(NAMES), max_size=2)))


def reachable(roots: Iterable[tuple[str, str]], lock: Lock, stop: frozenset[str]) -> set[str]:
    """What roots bring, the plain way: add until nothing is added. Nothing in `stop` is entered."""
    needs = {package.name: package.requires for package in lock.packages}
    found = {node for node in roots if node[0] not in stop}
    while True:
        more = {
            (need.name, extra)
            for name, active in found
            for need in needs[name]
            if need.extra == active and need.name not in stop
            for extra in ("", *need.extras)
        }
        if more <= found:
            return {name for name, _ in found}
        found |= more


def tried(project: Project, lock: Lock) -> Plan:
    try:
        return planned(project, lock)
    except ConfigError:
        assume(False)  # noqa: FBT003 - hypothesis reads so
        raise


def roots_of(project: Project, layers: Iterable[str]) -> set[tuple[str, str]]:
    chosen = [root for name in layers for root in project.layer(name).requirements]
    return {(root.name, extra) for root in chosen for extra in ("", *root.extras)}


@settings(deadline=None)
@given(projects(), locks(), st.sampled_from(["runtime", "bundle", "absent"]))
def test_every_package_of_a_stack_is_in_exactly_one_layer_of_it_and_nothing_is_lost(
    project: Project, packages: dict[str, list[str]], mode: Any
) -> None:
    made_lock = lock(packages, sdk=mode)
    made = tried(project, made_lock)
    for stack in project.stacks:
        inside = [name for layer in stack.layers for name in made.layer(layer).packages]
        assert len(inside) == len(set(inside))
        roots = roots_of(project, stack.layers)
        everything = reachable(roots, made_lock, frozenset())
        core = frozenset({"boto3", "botocore", "s3transfer"})
        if mode == "runtime":
            without = reachable(roots, made_lock, project.never | sdk_set())
            assert without <= set(inside) <= everything - core - project.never
        else:
            kept = reachable(roots, made_lock, project.never)
            # Where nothing in the project asks for the SDK, what it shares with others brings it.
            asked = reachable(
                roots_of(project, [layer.name for layer in project.layers]), made_lock, frozenset()
            )
            if mode == "bundle" and kept & (core if asked & core else sdk_set()):
                kept = reachable(roots | {(name, "") for name in sdk_set()}, made_lock, project.never)
            assert set(inside) == kept


@settings(deadline=None)
@given(projects(), locks(), st.sampled_from(["runtime", "bundle"]))
def test_the_sdk_is_left_out_whole_or_not_at_all(
    project: Project, packages: dict[str, list[str]], mode: Any
) -> None:
    made = tried(project, lock(packages, sdk=mode))
    core = {"boto3", "botocore", "s3transfer"}
    for stack in project.stacks:
        inside = {name for layer in stack.layers for name in made.layer(layer).packages}
        assert not inside & core or (mode == "bundle" and core <= inside)


@settings(deadline=None)
@given(projects(), locks(), st.sampled_from(["runtime", "bundle", "absent"]))
def test_left_out_and_held_are_apart_and_both_have_a_true_chain(
    project: Project, packages: dict[str, list[str]], mode: Any
) -> None:
    made_lock = lock(packages, sdk=mode)
    made = tried(project, made_lock)
    inside = {name for layer in made.layers for name in layer.packages}
    assert not inside & set(left(made))
    assert set(made.why) == inside | set(left(made))
    roots = {root.name for layer in project.layers for root in layer.requirements}
    needs = {package.name: {need.name for need in package.requires} for package in made_lock.packages}
    for name, chain in made.why.items():
        assert chain[0] in roots
        assert chain[-1] == name
        if mode != "bundle":
            assert all(after in needs[before] for before, after in itertools.pairwise(chain))
    for each in made.left_out:
        assert each.name in project.never or each.name in sdk_set() or "only" in each.reason


@settings(deadline=None)
@given(projects(), locks(), st.randoms())
def test_plan_does_not_depend_on_the_order_of_requirements(
    project: Project, packages: dict[str, list[str]], random: Any
) -> None:
    shuffled = {name: random.sample(needs, len(needs)) for name, needs in packages.items()}
    assert tried(project, lock(packages)).as_json() == tried(project, lock(shuffled)).as_json()
