"""Stacks whose layers the planner makes, beside declared ones."""

from __future__ import annotations

import pytest

from layerkit.errors import LimitExceededError
from layerkit.plan import most_unzipped
from layerkit.project import Slimming
from locks import PANDAS, REQUESTS, SDK, Size, held, lock, planned, project

LARGE = {"numpy 2.2": [], "scipy 1.1": ["numpy"], "pandas 2.3": ["numpy", "six"], "six 1.17": []}
MB = 1_000_000


def functions(plan: object) -> dict[str, tuple[str, ...]]:
    return {stack.name: stack.layers for stack in plan.stacks}  # type: ignore[attr-defined]


def test_what_functions_share_lies_in_one_layer_and_nobody_loads_what_it_does_not_need() -> None:
    roots = {"report": ["pandas"], "train": ["scipy"], "cron": ["six"]}
    stacks = {name: [name] for name in roots}
    plan = planned(project(roots, stacks, divided=[*roots]), lock(LARGE))
    assert held(plan) == {"numpy": {"numpy"}, "six": {"six"}, "pandas": {"pandas"}, "scipy": {"scipy"}}
    assert {name: set(names) for name, names in functions(plan).items()} == {
        "report": {"numpy", "six", "pandas"},
        "train": {"numpy", "scipy"},
        "cron": {"six"},
    }
    assert plan.layer("pandas").beneath == ("numpy", "six")
    assert plan.layer("pandas").roots == ("pandas",)
    assert "no function loads more than it needs" in plan.notes[0]


def test_a_declared_layer_keeps_what_it_holds_and_comes_to_whoever_needs_it() -> None:
    roots = {"numeric": ["numpy"], "report": ["pandas"], "train": ["scipy"]}
    stacks = {"report": ["numeric", "report"], "train": ["train"]}
    plan = planned(project(roots, stacks, divided=["report", "train"]), lock(LARGE))
    assert held(plan)["numeric"] == {"numpy"}
    assert functions(plan)["train"][0] == "numeric", "it needs numpy, which lies in there alone"
    assert held(plan)["pandas"] == {"pandas", "six"}


def test_a_declared_layer_that_no_function_has_is_planned_all_the_same() -> None:
    roots = {"spare": ["six"], "train": ["scipy"]}
    plan = planned(project(roots, {"train": ["train"]}, divided=["train"]), lock(LARGE))
    assert held(plan)["spare"] == {"six"}


def test_what_the_runtime_brings_is_divided_no_more_than_declared() -> None:
    roots = {"api": ["requests", "boto3"]}
    plan = planned(project(roots, {"api": ["api"]}, divided=["api"]), lock({**SDK, **REQUESTS}))
    assert set().union(*held(plan).values()) == {"requests", "urllib3", "idna"}
    assert {left.name for left in plan.left_out} >= {"boto3", "botocore"}


def test_one_stack_is_split_by_what_can_be_uploaded_directly() -> None:
    sizes = {name.split()[0]: Size(zipped=30 * MB, unzipped=60 * MB) for name in LARGE}
    sizes["six"] = Size(zipped=1, unzipped=1)
    plan = planned(
        project({"all": ["pandas", "scipy"]}, {"all": ["all"]}, divided=["all"]), lock(LARGE), sizes
    )
    assert sorted(map(len, held(plan).values())) == [1, 1, 2]
    assert not any("goes through S3" in note for note in plan.notes)


def test_the_last_division_is_kept_where_it_still_fits() -> None:
    roots = {"all": ["pandas", "scipy"]}
    sizes = {name.split()[0]: Size(zipped=20 * MB, unzipped=60 * MB) for name in LARGE}
    before = {"mine": frozenset({"scipy", "six"}), "other": frozenset({"numpy", "pandas"})}
    wanted = project(roots, {"all": ["all"]}, divided=["all"])
    assert held(planned(wanted, lock(LARGE), sizes, before=before)) == before
    assert held(planned(wanted, lock(LARGE), sizes)) != before


def test_names_of_declared_layers_and_of_code_are_never_taken() -> None:
    packages = {"report-code 1": [], "numpy 2.2": ["six"], "six 1.17": []}
    roots = {"numpy": ["six"], "report": ["numpy", "report-code"]}
    before = {"numpy": frozenset({"numpy"})}
    made = project(roots, {"report": ["report"]}, divided=["report"])
    plan = planned(made, lock(packages), before=before)
    assert [layer.name for layer in plan.layers] == ["numpy", "numpy-2"]
    assert plan.layer("numpy").packages == ("six",)
    apart = planned(made, lock(packages), {"report-code": Size(unzipped=99)})
    assert "report-code" not in {layer.name for layer in apart.layers}


def test_more_than_lambda_takes_is_said_with_what_takes_most_and_ways_out() -> None:
    roots = {"report": ["pandas"], "small": ["six"]}
    stacks = {name: [name] for name in roots}
    sizes = {"numpy": Size(unzipped=most_unzipped()), "pandas": Size(unzipped=100)}
    with pytest.raises(LimitExceededError) as caught:
        planned(project(roots, stacks, divided=[*roots]), lock(LARGE), sizes)
    said = str(caught.value)
    assert "report needs 262,144,100 bytes unzipped, 101 more than there is room for" in said
    assert said.index("numpy") < said.index("pandas  100")
    assert "never-deploy" in said


def test_too_many_shared_sets_are_joined_until_five_layers_do() -> None:
    names = [f"p{number}" for number in range(7)]
    roots = {f"f{number}": [name] for number, name in enumerate(names)} | {"every": names}
    stacks = {name: [name] for name in roots}
    plan = planned(project(roots, stacks, divided=[*roots]), lock({f"{name} 1": [] for name in names}))
    assert len(functions(plan)["every"]) == 5
    assert "4 bytes are loaded that a function does not need" in plan.notes[0]


def test_extras_are_followed() -> None:
    roots = {"report": ["pandas[parquet]"], "plain": ["pandas"]}
    stacks = {name: [name] for name in roots}
    plan = planned(project(roots, stacks, divided=[*roots]), lock(PANDAS))
    (layer,) = [names for names in held(plan).values() if "pyarrow" in names]
    assert layer == {"pyarrow", "fsspec"}


@pytest.mark.parametrize("divided", [[], ["report"]])
@pytest.mark.parametrize(
    ("slim", "words"),
    [
        (Slimming(), None),
        (Slimming(enabled=False), "take slim = false out"),
        (Slimming(switched=(("headers", False), ("scripts", True))), "again: headers;"),
    ],
)
def test_what_would_make_it_fit_is_said(slim: Slimming, words: str | None, divided: list[str]) -> None:
    made = project({"report": ["numpy"]}, {"report": ["report"]}, divided=divided, slim=slim)
    sizes = {"numpy": Size(unzipped=most_unzipped() + 1, compiled=500)}
    with pytest.raises(LimitExceededError) as caught:
        planned(made, lock(LARGE), sizes)
    said = str(caught.value)
    assert "bytecode = false in [tool.layerkit] saves 500 bytes" in said
    assert 'over-limit = "bundle"' in said
    assert words in said if words else "slim" not in said
