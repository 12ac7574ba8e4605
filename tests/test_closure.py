from __future__ import annotations

import pytest
from msgspec.structs import replace

from layerkit.errors import ConfigError, ResolutionError
from layerkit.plan import LeftOut
from layerkit.project import Slimming
from layerkit.target import facts, sdk_set, target
from locks import PANDAS, REQUESTS, SDK, held, left, lock, planned, project

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


def test_bundled_sdk_comes_with_what_it_shares_where_nothing_asks_for_it() -> None:
    # The runtime's own botocore cannot work with this urllib3, so the layer brings one that can.
    made = planned(project({"one": ["requests"]}), lock(SDK | REQUESTS, sdk="bundle"))
    assert {"boto3", "botocore", "s3transfer", "urllib3"} <= set(made.layer("one").packages)


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


def test_services_that_are_named_where_no_layer_holds_the_sdk_are_a_note() -> None:
    said = "aws-services cuts nothing: no layer holds the SDK"
    values = replace(project({"one": ["boto3"]}), aws_services=("s3",))
    assert said in planned(values, lock(SDK)).notes
    assert said not in planned(values, lock(SDK, sdk="bundle")).notes
    without = replace(project({"one": ["six"]}), aws_services=("s3",))
    assert planned(without, lock({"six": []}, sdk="bundle")).notes == (said,)


def test_files_that_stay_in_a_package_that_is_not_there_are_a_note() -> None:
    keep = (("six", ("*.h",)), ("sixx", ("*.h",)))
    values = replace(project({"one": ["six"]}), slim=Slimming(keep=keep))
    assert planned(values, lock({"six": []})).notes == (
        "slim.keep.sixx keeps nothing: the lock has no such package",
    )
