from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from locks import PY312, Size, lock, project

from layerkit.errors import ConfigError, LimitExceededError, ResolutionError
from layerkit.plan import LeftOut, Plan, most_unzipped, plan
from layerkit.target import facts, sdk_set, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layerkit.lock import Lock
    from layerkit.project import Project

PANDAS = {
    "numpy 2.2": [],
    "pandas 2.3": ["numpy>=1.26", "python-dateutil>=2.8", "pyarrow>=10 ; parquet", "fsspec ; parquet"],
    "pyarrow 20.0": [],
    "fsspec 2026.1": [],
    "python-dateutil 2.9": ["six>=1.5"],
    "six 1.17": [],
}
SDK = {
    "boto3 1.42.97": ["botocore<1.43", "jmespath<2", "s3transfer<1"],
    "botocore 1.42.97": ["jmespath<2", "python-dateutil<3", "urllib3<3", "awscrt==0.31 ; crt"],
    "jmespath 1.1": [],
    "s3transfer 0.16": ["botocore<2"],
    "python-dateutil 2.9": ["six>=1.5"],
    "six 1.17": [],
    "urllib3 2.6": [],
    "awscrt 0.31": [],
}
REQUESTS = {"requests 2.32": ["urllib3<3", "idna"], "idna 3.11": []}


def planned(
    project: Project,
    lock: Lock,
    sizes: Mapping[str, Size] | None = None,
    code: Mapping[str, int] | None = None,
) -> Plan:
    every = {package.name: Size() for package in lock.packages}
    return plan(project, lock, every | dict(sizes or {}), code or {})


def held(plan: Plan) -> dict[str, set[str]]:
    return {layer.name: set(layer.packages) for layer in plan.layers}


def left(plan: Plan) -> dict[str, str]:
    return {each.name: each.reason for each in plan.left_out}


# What the roots bring


def test_root_brings_what_it_needs_and_not_the_extras_nobody_asked_for() -> None:
    made = planned(project({"data": ["pandas"]}), lock(PANDAS))
    assert held(made) == {"data": {"numpy", "pandas", "python-dateutil", "six"}}


def test_extra_of_a_root_brings_its_own_dependencies_and_the_base() -> None:
    made = planned(project({"data": ["pandas[parquet]"]}), lock(PANDAS))
    assert held(made)["data"] == {"numpy", "pandas", "python-dateutil", "six", "pyarrow", "fsspec"}


def test_extras_propagate_through_dependencies_and_through_the_package_itself() -> None:
    packages = {
        "a": ["b[all]"],
        "b": ["b[fast,small] ; all", "c ; fast", "d ; small", "e ; unused"],
        "c": ["f[x]"],
        "d": [],
        "e": [],
        "f": ["g ; x", "a"],
        "g": [],
    }
    made = planned(project({"one": ["a"]}), lock(packages))
    assert held(made)["one"] == {"a", "b", "c", "d", "f", "g"}
    assert made.why["g"] == ("a", "b", "c", "f", "g")
    assert made.why["d"] == ("a", "b", "d")


def test_root_whose_marker_is_false_on_the_target_is_dropped() -> None:
    roots = ["six ; python_version < '3'", "numpy ; platform_machine == 'x86_64'"]
    assert held(planned(project({"one": roots}), lock(PANDAS))) == {"one": {"numpy"}}
    arm = lock(PANDAS, on=target("3.12", "arm64"))
    assert held(planned(project({"one": roots}), arm)) == {"one": set()}


def test_root_that_the_lock_lacks_is_refused_and_all_of_them_are_named() -> None:
    with pytest.raises(
        ResolutionError, match=r"does not hold flask, mangum, which layer 'web' asks for"
    ) as error:
        planned(project({"web": ["mangum", "flask", "six"]}), lock(PANDAS))
    assert "layerkit lock" in str(error.value.fix)


def test_project_wheel_lies_alone_and_relies_on_the_layer_with_its_requirements() -> None:
    packages = PANDAS | {"demo 1.0": ["pandas"]}
    values = project(
        {"default": ["pandas"], "nodeps": []},
        {"demo": ["default", "nodeps"], "bare": ["nodeps"]},
        distribution="demo",
        wheel_only=["nodeps"],
    )
    made = planned(values, lock(packages))
    assert held(made) == {"default": {"numpy", "pandas", "python-dateutil", "six"}, "nodeps": {"demo"}}
    assert made.layer("nodeps").beneath == ("default",)
    assert made.layer("default").beneath == ()


# The SDK


def test_sdk_of_the_runtime_is_left_out_whole() -> None:
    made = planned(project({"one": ["boto3"]}), lock(SDK))
    assert held(made) == {"one": set()}
    assert set(left(made)) == sdk_set()
    assert set(left(made).values()) == {"python3.12 brings it with boto3 1.42.97"}
    assert made.left_out[0] == LeftOut(
        name="boto3", version="1.42.97", reason="python3.12 brings it with boto3 1.42.97"
    )
    assert made.stacks[0].layers == ()
    assert made.notes == ("layer one holds nothing: other layers or the runtime have what it names",)


def test_what_something_else_needs_too_is_kept() -> None:
    packages = SDK | REQUESTS | PANDAS | {"powertools 3": ["jmespath<2", "boto3"]}
    made = planned(project({"one": ["boto3", "requests", "pandas", "powertools"]}), lock(packages))
    assert set(left(made)) == {"boto3", "botocore", "s3transfer"}
    assert {"urllib3", "python-dateutil", "six", "jmespath"} <= held(made)["one"]


@pytest.mark.parametrize("name", ["boto3", "botocore", "s3transfer", "jmespath"])
def test_sdk_packages_are_left_out_as_roots_too(name: str) -> None:
    made = planned(project({"one": [name]}), lock(SDK))
    assert held(made)["one"] == set()
    assert name in left(made)


@pytest.mark.parametrize("name", ["urllib3", "six", "python-dateutil"])
def test_shared_package_that_the_project_names_is_kept(name: str) -> None:
    made = planned(project({"one": ["boto3", name]}), lock(SDK))
    assert name in held(made)["one"]
    assert name not in left(made)


def test_what_only_the_sdk_needs_and_the_runtime_lacks_is_kept() -> None:
    made = planned(project({"one": ["botocore[crt]"]}), lock(SDK))
    assert held(made)["one"] == {"awscrt"}
    assert made.why["awscrt"] == ("botocore", "awscrt")


def test_package_left_out_of_one_layer_and_held_by_another_is_not_called_left_out() -> None:
    made = planned(project({"aws": ["boto3"], "web": ["requests"]}), lock(SDK | REQUESTS))
    assert held(made) == {"aws": set(), "web": {"requests", "idna", "urllib3"}}
    assert "urllib3" not in left(made)


def test_lock_entries_that_no_root_brings_go_nowhere() -> None:
    made = planned(project({"web": ["requests"]}), lock(SDK | REQUESTS))
    assert held(made) == {"web": {"requests", "idna", "urllib3"}}
    assert made.left_out == ()


def test_bundled_sdk_is_shipped_whole_though_only_botocore_is_asked_for() -> None:
    packages = SDK | {"aiobotocore 2": ["botocore<1.42.98"], "s3fs 2026": ["aiobotocore"]}
    made = planned(project({"one": ["s3fs"]}), lock(packages, sdk="bundle", reason="s3fs wants 1.42.90"))
    assert held(made)["one"] == {"s3fs", "aiobotocore", *sdk_set()}
    assert made.left_out == ()
    assert made.why["boto3"] == ("s3fs", "aiobotocore", "botocore", "boto3")
    assert made.notes == ("the SDK is in the layers, all of it: s3fs wants 1.42.90",)


def test_bundled_sdk_is_not_split_by_what_the_roots_name() -> None:
    packages = SDK | {"s3fs 2026": ["botocore"]}
    made = planned(project({"data": ["s3fs"], "aws": ["boto3", "s3transfer"]}), lock(packages, sdk="bundle"))
    assert held(made) == {"data": {"s3fs", *sdk_set()}, "aws": set()}


def test_bundled_sdk_goes_only_where_the_sdk_itself_is_needed() -> None:
    values = project({"web": ["requests"], "aws": ["boto3"]}, {"small": ["web"], "large": ["web", "aws"]})
    made = planned(values, lock(SDK | REQUESTS, sdk="bundle"))
    assert held(made)["web"] == {"requests", "idna", "urllib3"}
    assert held(made)["aws"] == sdk_set() - {"urllib3"}
    assert made.layer("aws").beneath == ("web",)


def test_sdk_set_is_what_every_runtime_brings() -> None:
    assert sdk_set() <= set(facts()["brings"]["value"])


def test_never_may_not_split_a_bundled_sdk() -> None:
    values = project({"one": ["boto3"]}, never=frozenset({"boto3"}))
    with pytest.raises(ConfigError, match="never lists boto3, but the SDK has to be shipped whole") as error:
        planned(values, lock(SDK, sdk="bundle"))
    assert "put botocore, s3transfer in too" in str(error.value.fix)
    planned(values, lock(SDK, sdk="runtime"))


def test_never_may_leave_a_bundled_sdk_to_the_runtime_as_a_whole() -> None:
    values = project({"one": ["boto3", "requests"]}, never=frozenset({"boto3", "botocore", "s3transfer"}))
    made = planned(values, lock(SDK | REQUESTS, sdk="bundle"))
    assert held(made)["one"] == {"requests", "idna", "urllib3"}


# Never deployed


def test_never_takes_along_what_only_it_needed() -> None:
    packages = PANDAS | {
        "numba 0.63": ["llvmlite", "numpy"],
        "llvmlite 0.46": [],
        "fastparquet 2": ["numba", "pandas"],
    }
    made = planned(project({"one": ["fastparquet"]}, never=frozenset({"numba"})), lock(packages))
    assert held(made)["one"] == {"fastparquet", "pandas", "numpy", "python-dateutil", "six"}
    assert left(made) == {
        "numba": "the project never deploys it",
        "llvmlite": "only numba needs it, which the project never deploys",
    }


def test_never_counts_for_roots_and_for_shared_packages_of_the_sdk() -> None:
    values = project({"one": ["requests", "six"]}, never=frozenset({"six", "urllib3"}))
    made = planned(values, lock(SDK | REQUESTS))
    assert held(made)["one"] == {"requests", "idna"}
    assert left(made) == dict.fromkeys(["six", "urllib3"], "the project never deploys it")
    assert made.layer("one").roots == ("requests",)


# Who holds a package


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


# Why, sizes, limits


def test_why_is_the_shortest_chain_and_ties_go_by_name() -> None:
    packages = {"z": ["target"], "b": ["target"], "long": ["z"], "target": ["end"], "end": []}
    for roots in (["long", "z", "b"], ["b", "long", "z"]):
        made = planned(project({"one": roots}), lock(packages))
        assert made.why["end"] == ("b", "target", "end")
        assert made.why["z"] == ("z",)
    left_out = planned(project({"one": ["boto3"]}), lock(SDK))
    assert left_out.why["six"] == ("boto3", "botocore", "python-dateutil", "six")


def test_sizes_are_sums_and_code_counts() -> None:
    sizes = {
        "numpy": Size(10, 100),
        "pandas": Size(20, 200),
        "python-dateutil": Size(3, 30),
        "six": Size(4, 40),
    }
    values = project({"base": ["numpy"], "data": ["pandas"]}, {"f": ["base", "data"], "g": ["base"]})
    made = planned(values, lock(PANDAS), sizes, {"f": 5000})
    assert [(layer.zipped, layer.unzipped) for layer in made.layers] == [(10, 100), (27, 270)]
    assert [(stack.unzipped, stack.code_bytes) for stack in made.stacks] == [(5370, 5000), (100, 0)]
    assert made.stacks[0].slack == 262_144_000 - 1 - 5370


def test_limit_is_a_sum_that_must_stay_below() -> None:
    values = project({"one": ["six"]}, {"f": ["one"]})
    made = planned(values, lock(PANDAS), {"six": Size(1, most_unzipped() - 7)}, {"f": 7})
    assert made.stacks[0].slack == 0
    with pytest.raises(
        LimitExceededError, match="f: 262,144,000 bytes unzipped over code and layers, 1 more than"
    ):
        planned(values, lock(PANDAS), {"six": Size(1, most_unzipped() - 7)}, {"f": 8})


def test_every_broken_stack_is_listed_with_its_top_contributors_and_ways_out() -> None:
    many: dict[str, list[str]] = {**{f"p{n:02}": [] for n in range(12)}, "heavy": []}
    sizes = {f"p{n:02}": Size(1, n * 1_000_000) for n in range(12)} | {"heavy": Size(1, 200_000_000)}
    values = project({"one": [*many], "two": ["heavy"]}, {"f": ["one"], "g": ["two"], "h": ["two"]})
    with pytest.raises(LimitExceededError) as error:
        planned(values, lock(many), sizes, {"f": 5_000_000, "h": 70_000_000})
    text = str(error.value)
    assert "f: 271,000,000 bytes unzipped over code and layers, 8,856,001 more than Lambda takes" in text
    assert "h: 270,000,000 bytes unzipped over code and layers, 7,856,001 more" in text
    assert "g: " not in text
    assert re.search(r"heavy +200,000,000 +73\.8%\n +p11 +11,000,000 +4\.1%\n", text)
    assert re.search(r"\(the function's own code\) +5,000,000 +1\.8%\n", text)
    assert "p02" not in text
    assert "tool.layerkit.never" in text
    assert error.value.exit_code == 7


def test_more_layers_than_lambda_takes_are_refused_and_empty_ones_do_not_count() -> None:
    names = [f"p{n}" for n in range(6)]
    layers: dict[str, list[str]] = {f"layer{n}": [name] for n, name in enumerate(names)}
    with pytest.raises(LimitExceededError, match=r"demo has 6 layers \(layer0, .*\), Lambda takes 5"):
        planned(project(layers), lock({name: [] for name in names}))
    layers["layer5"] = ["p0"]
    layers["layer0"] = ["p1"]
    assert len(planned(project(layers), lock({name: [] for name in names})).stacks[0].layers) <= 5


def test_zip_above_the_direct_upload_is_a_note() -> None:
    values = project({"one": ["six"], "two": ["numpy"]})
    made = planned(values, lock(PANDAS), {"six": Size(52_428_801, 60_000_000), "numpy": Size(52_428_800, 1)})
    assert made.notes == ("layer one goes through S3: 52,428,801 bytes zipped are above 52,428,800",)


def test_plan_prints_as_json() -> None:
    made = planned(project({"one": ["pandas", "boto3"]}), lock(SDK | PANDAS))
    printed = json.loads(json.dumps(made.as_json()))
    assert [*printed] == ["target", "layers", "stacks", "left_out", "why", "notes"]
    assert printed["target"] == PY312.key
    assert printed["why"]["six"] == ["pandas", "python-dateutil", "six"]
    assert printed["layers"][0]["packages"] == ["numpy", "pandas", "python-dateutil", "six"]


# Speed


def test_planning_eighty_packages_takes_less_than_ten_milliseconds() -> None:
    packages = {f"p{n}": [f"p{m}>=1" for m in range(n + 1, min(n + 6, 80))] for n in range(80)}
    values = project({"base": ["p40"], "all": ["p0"]}, {"f": ["base", "all"], "g": ["base"]})
    made_lock = lock(packages)
    took = []
    for _ in range(5):
        started = time.perf_counter()
        planned(values, made_lock)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.010


def test_planning_imports_nothing_heavy() -> None:
    program = (
        "import sys, layerkit.plan; print(*(set(sys.modules) & {'packaging', 'rich', 'email', 'urllib3'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


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
            if mode == "bundle" and kept & core:
                kept = reachable(roots | {(name, "") for name in sdk_set()}, made_lock, project.never)
            assert set(inside) == kept


@given(projects(), locks(), st.sampled_from(["runtime", "bundle"]))
def test_the_sdk_is_left_out_whole_or_not_at_all(
    project: Project, packages: dict[str, list[str]], mode: Any
) -> None:
    made = tried(project, lock(packages, sdk=mode))
    core = {"boto3", "botocore", "s3transfer"}
    for stack in project.stacks:
        inside = {name for layer in stack.layers for name in made.layer(layer).packages}
        assert not inside & core or (mode == "bundle" and core <= inside)


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


@given(projects(), locks(), st.randoms())
def test_plan_does_not_depend_on_the_order_of_requirements(
    project: Project, packages: dict[str, list[str]], random: Any
) -> None:
    shuffled = {name: random.sample(needs, len(needs)) for name, needs in packages.items()}
    assert tried(project, lock(packages)).as_json() == tried(project, lock(shuffled)).as_json()
