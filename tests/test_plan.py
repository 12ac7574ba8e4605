from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from layerkit.errors import LimitExceededError
from layerkit.plan import most_unzipped, plan
from locks import PANDAS, PY312, SDK, Size, lock, planned, project


def test_why_is_the_shortest_chain_and_ties_go_by_name() -> None:
    packages = {"z": ["target"], "b": ["target"], "long": ["z"], "target": ["end"], "end": []}
    for roots in (["long", "z", "b"], ["b", "long", "z"]):
        made = planned(project({"one": roots}), lock(packages))
        assert made.why["end"] == ("b", "target", "end")
        assert made.why["z"] == ("z",)
    left_out = planned(project({"one": ["boto3"]}), lock(SDK))
    assert left_out.why["six"] == ("boto3", "botocore", "python-dateutil", "six")


def test_why_of_a_package_that_is_held_leads_through_what_needs_it_and_not_through_the_runtimes_sdk() -> None:
    packages = SDK | {"tools 1": ["powertools"], "powertools 3": ["jmespath<2"]}
    made = planned(project({"aws": ["boto3"], "web": ["tools"]}), lock(packages))
    assert made.why["jmespath"] == ("tools", "powertools", "jmespath")
    assert made.why["s3transfer"] == ("boto3", "s3transfer")


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


class Opt(Size, frozen=True):
    dockerfile: str = "docker/gdal.Dockerfile"
    notes: tuple[str, ...] = ("a note",)


def test_what_a_dockerfile_brings_counts_and_fills_a_layer() -> None:
    values = project({"base": ["six"], "gdal": [], "none": []}, {"f": ["base", "gdal", "none"]})
    made = plan(values, lock(PANDAS), {"six": Size(4, 40)}, {}, opts={"gdal": Opt(5, 500)})
    assert [(layer.dockerfile, layer.zipped, layer.empty) for layer in made.layers] == [
        (None, 4, False),
        ("docker/gdal.Dockerfile", 5, False),
        (None, 0, True),
    ]
    assert (made.stacks[0].layers, made.stacks[0].unzipped) == (("base", "gdal"), 540)
    assert "layer gdal: docker/gdal.Dockerfile: a note" in made.notes
    assert next(note for note in made.notes if "holds nothing" in note).startswith("layer none")
    with pytest.raises(LimitExceededError, match=r"\(/opt of docker/gdal.Dockerfile\) +300,000,000 +100\.0%"):
        plan(values, lock(PANDAS), {"six": Size(4, 40)}, {}, opts={"gdal": Opt(5, 300_000_000)})


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
    assert "tool.layerkit.never-deploy" in text
    assert error.value.exit_code == 7


@pytest.mark.parametrize(("over", "fits"), [(3_000_000, True), (3_000_001, False)])
def test_bytecode_is_named_where_it_alone_is_too_much(over: int, fits: bool) -> None:  # noqa: FBT001 - expected
    sizes = {"six": Size(1, most_unzipped() + over, 3_000_000)}
    with pytest.raises(LimitExceededError) as error:
        planned(project({"one": ["six"]}, {"f": ["one"]}), lock(PANDAS), sizes)
    text = str(error.value)
    assert ("and without bytecode (3,000,000 bytes) it would fit" in text) == fits
    assert "bytecode = false in [tool.layerkit] saves 3,000,000 bytes" in text


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
