from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from layerkit.check import Installed, brought, check_stack
from layerkit.target import sdk_set, target
from locks import PY312, dependency, lock, package

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerkit.check.findings import Finding


def there(text: str, *requires: str, layer: str = "data") -> Installed:
    """Return `name 1.2` as installed in a layer."""
    locked = package(text, requires)
    return Installed(name=locked.name, version=locked.version, requires=locked.requires, layer=layer)


def codes(findings: Iterable[Finding]) -> list[str]:
    return [each.code for each in findings]


def test_stack_that_has_what_it_needs_is_clean() -> None:
    stack = [
        there("pandas 2.3", "numpy>=1.26,<3", "six"),
        there("numpy 2.0rc1", layer="base"),
        there("six 1.17"),
    ]
    assert check_stack(stack, []) == []


def test_missing_requirement_names_who_needs_it_and_where_it_was_looked_for() -> None:
    stack = [there("idna", layer="base"), there("pandas 2.3", "numpy>=1.26")]
    (found,) = check_stack(stack, [])
    assert found.code == "missing-requirement"
    assert found.severity == "error"
    assert found.where == "data: pandas 2.3"
    assert found.text == "pandas 2.3 requires numpy>=1.26, which neither base, data nor the runtime has"
    assert "add numpy to a layer" in found.fix


def test_version_conflict_names_both_sides_with_their_layers() -> None:
    (found,) = check_stack([there("pandas 2.3", "numpy>=1.26"), there("numpy 1.21", layer="base")], [])
    assert found.code == "version-conflict"
    assert found.text == "pandas 2.3 requires numpy>=1.26 (in data), and base has numpy 1.21"


def test_deliberately_absent_package_is_a_warning_with_its_reason() -> None:
    (found,) = check_stack(
        [there("fastparquet 2", "numba>=0.60")], [], {"numba": "the project never deploys it"}
    )
    assert (found.code, found.severity) == ("deliberately-absent", "warning")
    assert "requires numba>=0.60, which is left out: the project never deploys it" in found.text


def test_package_in_two_versions_is_an_error_and_the_later_layer_counts() -> None:
    stack = [there("numpy 1.21", layer="base"), there("numpy 2.0"), there("pandas 2.3", "numpy>=2")]
    (found,) = check_stack(stack, [])
    assert (found.code, found.where) == ("duplicate-package", "base, data")
    assert "1.21 in base and 2.0 in data" in found.text


def test_package_twice_in_the_same_version_is_a_warning() -> None:
    (found,) = check_stack([there("numpy 2.0", layer="base"), there("numpy 2.0")], [])
    assert (found.code, found.severity) == ("repeated-package", "warning")


def test_the_runtime_satisfies_and_its_own_packages_are_its_own_matter() -> None:
    runtime = [
        there("boto3 1.42", "botocore==9", "gone", layer="the runtime"),
        there("botocore 1.42", layer="r"),
    ]
    assert check_stack([there("xray 2", "botocore>=1.11")], runtime) == []


def test_layer_that_breaks_the_runtimes_own_package_is_found() -> None:
    runtime = [there("botocore 1.23", "urllib3<1.27", layer="the python3.7 runtime")]
    (found,) = check_stack([there("urllib3 2.6")], runtime)
    assert found.code == "version-conflict"
    assert found.text == (
        "botocore 1.23 requires urllib3<1.27 (in the python3.7 runtime), and data has urllib3 2.6"
    )


def test_layers_package_hides_the_runtimes() -> None:
    runtime = [there("botocore 1.23", "urllib3<1.27", layer="r"), there("urllib3 1.26", layer="r")]
    stack = [there("botocore 1.42", "urllib3<3"), there("urllib3 2.6"), there("s3fs 1", "botocore>=1.40")]
    assert check_stack(stack, runtime) == []


def test_unknown_version_of_the_runtime_is_said_only_where_it_matters() -> None:
    runtime = [Installed(name="six", version=None, layer="the python3.12 runtime")]
    assert check_stack([there("thrift 1", "six")], runtime) == []
    (found,) = check_stack([there("thrift 1", "six>=1.7")], runtime)
    assert (found.code, found.severity) == ("runtime-version-unknown", "warning")


def test_specifier_that_is_none_and_version_that_is_none() -> None:
    stack = [
        there("a 1", "b>=1.x.y"),
        there("c 1", "d>=1"),
        there("b 1"),
        there("d weird"),
        there("e 1", "d"),
    ]
    assert codes(check_stack(stack, [])) == ["unreadable-metadata", "version-conflict"]


def test_requirements_of_extras_count_where_a_package_asks_for_the_extra() -> None:
    moto = there("moto 5", "responses>=1 ; s3", "docker>=9 ; all", "absent ; s3")
    assert check_stack([moto], []) == []
    asking = there("suite 1", "moto[s3]")
    found = check_stack([asking, moto, there("responses 0.5")], [], {"absent": "left out by hand"})
    assert codes(found) == ["extra-requirement", "deliberately-absent"]
    assert {each.severity for each in found} == {"warning"}
    assert "responses" in found[0].text
    assert "for its extra 's3'" in found[0].text


def test_brought_knows_the_sdk_by_version_and_the_rest_by_name() -> None:
    found = {each.name: each for each in brought(PY312)}
    assert sdk_set() | {"awslambdaric", "simplejson", "snapshot-restore-py"} == set(found)
    assert found["boto3"].version == found["botocore"].version == "1.42.97"
    assert found["urllib3"].version is None
    assert found["boto3"].layer == "the python3.12 runtime"
    assert all(each.version is None for each in brought(target("3.15")))


def test_brought_takes_what_botocore_requires_from_a_lock_of_the_same_version() -> None:
    same = lock({"botocore 1.42.97": ["urllib3<3"], "boto3 1.43.0": ["botocore"]})
    found = {each.name: each.requires for each in brought(PY312, same)}
    assert found["botocore"] == (dependency("urllib3<3"),)
    assert found["boto3"] == ()


# For any stack

NAMES = st.sampled_from("abcdef")
PACKAGES = st.builds(
    lambda name, version, needs, layer: there(f"{name} {version}", *needs, layer=layer),
    NAMES,
    st.sampled_from(["1.0", "2.0"]),
    st.lists(st.builds(str.__add__, NAMES, st.sampled_from(["", ">=1", "<2", "==2.0"])), max_size=3),
    st.sampled_from(["base", "data"]),
)


@settings(deadline=None)
@given(
    st.lists(PACKAGES, unique_by=lambda each: each.name), st.lists(PACKAGES, unique_by=lambda each: each.name)
)
def test_stack_is_clean_exactly_when_every_requirement_is_met(
    stack: list[Installed], runtime: list[Installed]
) -> None:
    found = check_stack(stack, runtime)
    have = {each.name: each.version for each in runtime} | {each.name: each.version for each in stack}
    inside = {"": {"1.0", "2.0"}, ">=1": {"1.0", "2.0"}, "<2": {"1.0"}, "==2.0": {"2.0"}}
    unmet = [
        need for each in stack for need in each.requires if have.get(need.name) not in inside[need.specifier]
    ]
    ours = {each.name for each in stack}
    crossing = [
        need
        for each in runtime
        if each.name not in ours
        for need in each.requires
        if need.name in ours and have[need.name] not in inside[need.specifier]
    ]
    assert len(found) == len(unmet) + len(crossing)
