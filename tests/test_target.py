from __future__ import annotations

import pytest
from packaging.markers import Marker

from layerkit.errors import UsageError
from layerkit.target import (
    facts,
    limit,
    maintained_runtimes,
    parse_arch,
    parse_runtime,
    runtimes,
    sdk_set,
    supported_runtimes,
    target,
)


@pytest.mark.parametrize("text", ["py312", "3.12", "python3.12", "PY312", " python312 "])
def test_a_runtime_goes_by_many_names(text: str) -> None:
    assert parse_runtime(text) == "python3.12"


@pytest.mark.parametrize("text", ["py2", "3.99", "", "nodejs20", "python3", "3.12.1", "python3.12-x86_64"])
def test_an_unknown_runtime_is_refused_with_those_that_are_known(text: str) -> None:
    with pytest.raises(UsageError, match=r"no Lambda runtime") as refused:
        parse_runtime(text)
    assert "python3.12" in str(refused.value.fix)


@pytest.mark.parametrize(("text", "name"), [("arm64", "arm64"), ("aarch64", "arm64"), ("amd64", "x86_64")])
def test_an_architecture_goes_by_many_names(text: str, name: str) -> None:
    assert parse_arch(text) == name


def test_a_runtime_that_never_ran_on_an_architecture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"python3\.7 does not run on arm64"):
        target("py37", "arm64")


@pytest.mark.parametrize(
    ("runtime", "arch", "best", "count"),
    [
        ("py37", "x86_64", "cp37-cp37m-manylinux_2_17_x86_64", 17),
        ("py311", "x86_64", "cp311-cp311-manylinux_2_26_x86_64", 26),
        ("py312", "arm64", "cp312-cp312-manylinux_2_34_aarch64", 20),
    ],
)
def test_wheels_are_taken_for_every_glibc_up_to_the_runtimes(
    runtime: str, arch: str, best: str, count: int
) -> None:
    tags = target(runtime, arch).tags()
    python = best.split("-", maxsplit=1)[0]
    abi = best.split("-")[1]
    assert tags[0] == best
    assert sum(tag.startswith(f"{python}-{abi}-") for tag in tags) == count
    assert tags.index(f"{python}-none-any") > tags.index(f"{python}-{abi}-{best.rpartition('-')[2]}")
    assert "py3-none-any" in tags
    assert len(set(tags)) == len(tags)


def test_the_older_names_of_manylinux_follow_their_levels() -> None:
    platforms = target("py310").platforms()
    assert platforms[:2] == ("manylinux_2_26_x86_64", "manylinux_2_25_x86_64")
    at = platforms.index("manylinux_2_17_x86_64")
    assert platforms[at : at + 3] == (
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
        "manylinux_2_16_x86_64",
    )
    assert platforms[-2:] == ("manylinux1_x86_64", "linux_x86_64")


def test_markers_are_the_runtimes_not_this_machines() -> None:
    markers = {**target("py38", "arm64").markers(), "extra": ""}
    assert Marker("python_version == '3.8' and platform_machine == 'aarch64'").evaluate(markers)
    assert not Marker("sys_platform == 'win32' or python_version >= '3.9'").evaluate(markers)


def test_names_derived_from_a_target() -> None:
    one = target("3.9", "arm64")
    assert (one.key, one.short, one.minor, one.machine) == ("python3.9-arm64", "py39", "3.9", "aarch64")
    assert one.site_packages("versioned") == "python/lib/python3.9/site-packages"
    assert one.site_packages("flat") == "python"


def test_the_sdk_version_can_be_said() -> None:
    sdk = target("py312", sdk_version="1.2.3").sdk
    assert sdk is not None
    assert (sdk.boto3, sdk.botocore) == ("1.2.3", "1.2.3")


def test_what_nobody_has_seen_is_not_guessed() -> None:
    assert target("py315").sdk is None


def test_previews_and_closed_runtimes_are_not_built_with_all() -> None:
    assert maintained_runtimes() == tuple(f"python3.{minor}" for minor in range(7, 15))
    assert set(supported_runtimes()) < set(maintained_runtimes()) < set(runtimes())


def test_every_fact_of_a_runtime_has_its_source() -> None:
    for name, fact in facts()["runtimes"].items():
        assert fact["glibc"]["source"], name
        assert fact["python"]["source"], name
        assert fact["dates"]["source"], name
        assert fact["sdk"] is None or fact["sdk"]["source"], name


def test_limits_and_the_sdk_set() -> None:
    assert limit("unzipped_bytes") == 262_144_000
    assert limit("direct_upload_bytes") == 52_428_800
    assert limit("layers_per_function") == 5
    assert {"boto3", "botocore", "urllib3"} < sdk_set()
