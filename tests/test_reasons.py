"""What forced the SDK into a layer, and what is older than it need be: what is said, and when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.lock import SdkDecision
from layerkit.lock.reasons import forced_by, older
from layerkit.lock.uv import Uv
from layerkit.project import Pin
from layerkit.store import Store
from layerkit.target import target
from locks import package
from projects import requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.lock import LockedPackage
    from layerkit.project import Requirement
    from layerkit.target import Target

PY312 = target("py312", sdk_version="1.42.0")
BUNDLE = SdkDecision(mode="bundle", reason="uv's own words")


class Index(Uv):
    """Knows the newest versions that have no wheel, and what was asked about."""

    def __init__(self, **unbuilt: str) -> None:
        super().__init__(PY312, Store(Path("/nonexistent")), Path("/nonexistent"))
        self.newest = {name.replace("_", "-"): version for name, version in unbuilt.items()}
        self.asked: dict[str, str] = {}
        self.arguments: tuple[str, ...] = ()

    def unbuilt(self, versions: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
        self.asked, self.arguments = dict(versions), tuple(arguments)
        return {name: self.newest[name] for name in versions if name in self.newest}


def forced(
    packages: Mapping[str, Sequence[str]],
    roots: Sequence[Requirement] = (),
    decision: SdkDecision = BUNDLE,
    at: Target = PY312,
) -> str:
    locked = [package(name, needs) for name, needs in packages.items()]
    found = forced_by(decision, locked, roots, at)
    assert found.mode == decision.mode
    return found.reason


@pytest.mark.parametrize(
    "need",
    ["botocore>=1.43", "botocore<1.42,>=1", "boto3==1.44.*", "botocore[crt]!=1.42.0", "boto3>1.42.0 ; fast"],
)
def test_the_package_that_needs_another_sdk_is_named_with_what_it_needs(need: str) -> None:
    said = forced({"aiobotocore 2.5": ["wrapt", need]})
    plain = need.partition(" ;")[0].replace("[crt]", "")
    assert said == f"aiobotocore 2.5 requires {plain}; the runtime brings 1.42.0"


def test_the_day_on_which_the_runtimes_sdk_was_seen_is_said() -> None:
    seen = target("py312")
    assert seen.sdk
    said = forced({"aiobotocore 2.5": ["botocore>99"]}, at=seen)
    assert said.endswith(f"the runtime brings {seen.sdk.botocore} (last seen {seen.sdk.seen})")


@pytest.mark.parametrize(
    "text",
    ["boto3>=1.43", "boto3 (>=1.43)", "boto3[crt] >=1.43", "boto3>=1.43 ; python_version > '3'"],
)
def test_a_requirement_of_the_project_is_named_by_its_place(text: str) -> None:
    said = forced({"demo": []}, [requirement("six"), requirement(text, origin="requirements.txt:7")])
    assert said == "requirements.txt:7 requires boto3>=1.43; the runtime brings 1.42.0"


def test_packages_are_named_before_the_project_whose_requirement_may_be_a_consequence() -> None:
    root = requirement("boto3>=1.43", origin="here")
    assert forced({"s3fs 1": ["botocore>=1.43"]}, [root]).startswith("s3fs 1 requires")


@pytest.mark.parametrize(
    "need",
    [
        "botocore>=1.42,<1.43",  # fits
        "botocore",
        "urllib3<1",  # of the set, and nobody knows which one the runtime brings
        "demo>=99",
        "botocore===who knows",
    ],
)
def test_what_does_not_force_it_leaves_uvs_words(need: str) -> None:
    assert forced({"demo 1.0": [need]}) == BUNDLE.reason


def test_what_the_sdk_asks_of_itself_is_no_reason() -> None:
    packages = {"boto3 1.44.0": ["botocore>=1.44"], "botocore 1.44.0": ["boto3>=1.44"]}
    assert forced(packages) == BUNDLE.reason


@pytest.mark.parametrize(
    ("decision", "at"),
    [
        (SdkDecision(mode="runtime", reason="everything fits"), PY312),
        (SdkDecision(mode="absent", reason="none needed"), PY312),
        (SdkDecision(mode="bundle", reason="the project says so"), PY312),
        (SdkDecision(mode="bundle", reason="nobody has seen which"), target("py315")),
    ],
)
def test_other_decisions_keep_their_reasons(decision: SdkDecision, at: Target) -> None:
    assert forced({"s3fs": ["botocore>=1.43"]}, decision=decision, at=at) == decision.reason


def _older(index: Uv, packages: Sequence[LockedPackage], *bounds: str, pins: Sequence[str] = ()) -> list[str]:
    known = {name: Pin(name=name, version="1.0") for name in pins}
    return list(older(index, ("--index-url", "http://i"), packages, map(requirement, bounds), known))


def test_a_newest_version_without_a_wheel_is_said_in_name_order() -> None:
    index = Index(zeta="3.0", alpha="2.0")
    packages = [package("zeta 1.0"), package("alpha 1.5"), package("fine 1.0")]
    assert _older(index, packages, "zeta", "alpha>=1") == [
        "alpha 1.5: the newest version, 2.0, has no wheel that fits python3.12-x86_64 (glibc 2.34)",
        "zeta 1.0: the newest version, 3.0, has no wheel that fits python3.12-x86_64 (glibc 2.34)",
    ]
    assert index.arguments == ("--index-url", "http://i")


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("demo", True),
        ("demo>=1,<3", True),
        ("demo<2", False),
        ("demo[fast]<2", False),
        ("demo (<2)", False),
        ("demo==1.*", False),
        ("other<2", True),
        ("demo @ http://here/demo-1.0-py3-none-any.whl", True),
    ],
)
def test_it_is_no_reason_where_the_project_wants_no_newer_one(bound: str, *, said: bool) -> None:
    index = Index(demo="2.0")
    assert bool(_older(index, [package("demo 1.0")], bound)) is said


def test_it_is_no_reason_where_another_package_wants_no_newer_one() -> None:
    index = Index(demo="2.0")
    assert not _older(index, [package("demo 1.0"), package("app 1", ["demo<2"])], "app")
    assert _older(index, [package("demo 1.0"), package("app 1", ["demo<3"])], "app")


def test_a_bound_that_nobody_can_read_bounds_nothing() -> None:
    assert _older(Index(demo="2.0"), [package("demo 1.0"), package("app 1", ["demo<>1"])])


def test_pinned_and_local_packages_are_not_asked_about() -> None:
    from msgspec.structs import replace

    local = package("mine 1.0")
    local = replace(local, wheel=replace(local.wheel, path="/a/mine.whl"))
    index = Index(mine="2.0", pinned="2.0")
    assert not _older(index, [local, package("pinned 1.0"), package("free 1.0")], pins=["pinned"])
    assert index.asked == {"free": "1.0"}


def test_the_sdk_follows_the_runtime_not_the_newest() -> None:
    index = Index(urllib3="3.0", python_dateutil="3.0")
    assert not _older(index, [package("urllib3 2.0"), package("python-dateutil 2.9")], "urllib3")
