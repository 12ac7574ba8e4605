"""From requirements to a lock, with the real uv and an index on the loopback."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from factory import BuiltWheel, make_wheel
from layerkit import lock as locks
from layerkit.errors import ResolutionError
from layerkit.lock.resolve import resolve
from layerkit.lock.uv import Uv
from layerkit.project import Containers, Pin
from layerkit.target import Target, target
from projects import project, requirement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerkit.lock import Lock, WheelRef
    from layerkit.project import Project
    from layerkit.store import Store
    from loopback import Loopback

PY312 = target("py312", sdk_version="1.42.0")


@pytest.fixture
def sdk(wheels: Path) -> Path:
    """Serve an SDK of two versions and what it needs."""
    for version in ("1.42.0", "1.44.0"):
        make_wheel(wheels, "boto3", version, requires=[f"botocore=={version}", "jmespath"])
        make_wheel(wheels, "botocore", version, requires=["urllib3<3", "jmespath"])
    make_wheel(wheels, "jmespath")
    make_wheel(wheels, "urllib3", "2.0")
    make_wheel(wheels, "urllib3", "3.0")
    return wheels


def _lock(one: Project, store: Store, wheels: Path, at: Target = PY312, **more: object) -> Lock:
    def fetch(refs: Sequence[WheelRef]) -> None:
        for ref in refs:
            with store.publish("wheels", ref.sha256, ".whl") as temporary:
                shutil.copyfile(ref.path or wheels / ref.filename, temporary)

    return resolve(one, at, Uv(at, store, one.root), store, fetch, built={}, **more)  # type: ignore[arg-type]


def _versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_a_lock_holds_the_runtimes_sdk_even_where_nothing_asks_for_it(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "requests", requires=["urllib3"])
    lock = _lock(project(tmp_path, {"default": ["requests"]}), store, sdk)
    assert lock.sdk.mode == "runtime"
    # Without the runtime's botocore, requests would have got urllib3 3.0, and boto3 would be broken.
    assert _versions(lock) == {
        "boto3": "1.42.0",
        "botocore": "1.42.0",
        "jmespath": "1.0",
        "requests": "1.0",
        "urllib3": "2.0",
    }
    assert any(note.startswith("urllib3 2.0 instead of 3.0") for note in lock.notes)
    assert index.names()


def test_a_requirement_that_needs_another_sdk_puts_it_into_a_layer_and_is_named(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "aiobotocore", requires=["botocore>=1.44,<1.45"])
    make_wheel(sdk, "s3fs", requires=["aiobotocore"])
    lock = _lock(project(tmp_path, {"default": ["s3fs"]}), store, sdk)
    assert lock.sdk.mode == "bundle"
    assert "aiobotocore 1.0 requires botocore" in lock.sdk.reason
    assert "the runtime brings 1.42.0" in lock.sdk.reason
    # One set, all of it: boto3 comes along, of the same version.
    assert (_versions(lock)["boto3"], _versions(lock)["botocore"]) == ("1.44.0", "1.44.0")
    assert index.names()


def test_a_requirement_of_the_project_itself_that_needs_another_sdk_is_named_with_its_place(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    root = requirement("boto3>=1.43", origin="requirements.txt:7")
    lock = _lock(project(tmp_path, {"default": [root]}), store, sdk)
    assert lock.sdk.mode == "bundle"
    assert lock.sdk.reason.startswith("requirements.txt:7 requires boto3>=1.43")
    assert index.names()


def test_no_requirement_of_the_project_is_aged_for_the_runtimes_sdk(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "s3fs", "0.4", requires=["botocore"])
    make_wheel(sdk, "s3fs", "2026.1", requires=["botocore>=1.44"])
    lock = _lock(project(tmp_path, {"default": ["s3fs"]}), store, sdk)
    assert (lock.sdk.mode, _versions(lock)["s3fs"]) == ("bundle", "2026.1")
    runtime = _lock(project(tmp_path, {"default": ["s3fs"]}, sdk="runtime"), store, sdk, upgrade=("*",))
    assert (runtime.sdk.mode, _versions(runtime)["s3fs"]) == ("runtime", "0.4")
    assert index.names()


def test_a_project_that_no_boto3_works_with_does_without_and_is_told(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "boto3", "0.1")  # so old that it asks for nothing: nobody wants it shipped
    lock = _lock(project(tmp_path, {"default": ["urllib3>=3"]}), store, sdk)
    assert (lock.sdk.mode, _versions(lock)) == ("absent", {"urllib3": "3.0"})
    assert any(note.startswith("functions with these layers cannot use boto3") for note in lock.notes)
    assert index.names()


def test_insisting_on_the_runtimes_sdk_fails_where_it_does_not_fit(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    with pytest.raises(ResolutionError, match=r"do not fit the SDK that python3\.12 brings"):
        _lock(project(tmp_path, {"default": ["boto3>=1.43"]}, sdk="runtime"), store, sdk)
    assert index.names()


def test_a_runtime_whose_sdk_nobody_has_seen(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "demo-lib")
    unseen = target("py315")
    without = _lock(project(tmp_path, {"default": ["demo-lib"]}), store, sdk, unseen)
    assert (without.sdk.mode, list(_versions(without))) == ("absent", ["demo-lib"])
    having = _lock(project(tmp_path, {"default": ["botocore"]}), store, sdk, unseen)
    assert having.sdk.mode == "bundle"
    assert "boto3" in _versions(having)
    assert index.names()


def test_pins_of_an_existing_lock_are_kept_but_those_of_the_sdk_give_way(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    old = make_wheel(sdk, "demo-lib", "1.0")
    make_wheel(sdk, "demo-lib", "2.0")
    pins = (
        Pin(name="demo-lib", version="1.0", hashes=frozenset({f"sha256:{old.sha256}"})),
        Pin(name="boto3", version="1.44.0"),
        Pin(name="botocore", version="1.44.0"),
    )
    one = project(tmp_path, {"default": ["demo-lib", "boto3"]}, pins=pins, pins_source="poetry.lock")
    lock = _lock(one, store, sdk)
    assert lock.sdk.mode == "runtime"
    assert (_versions(lock)["demo-lib"], _versions(lock)["boto3"]) == ("1.0", "1.42.0")
    assert any(note.startswith("boto3 1.42.0 instead of the pinned 1.44.0") for note in lock.notes)
    assert index.names()


def test_a_wheel_that_is_not_the_pinned_one_is_refused(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "demo-lib")
    pin = Pin(name="demo-lib", version="1.0", hashes=frozenset({"sha256:" + "0" * 64}))
    one = project(tmp_path, {"default": ["demo-lib"]}, pins=(pin,), pins_source="poetry.lock")
    with pytest.raises(ResolutionError, match=r"demo_lib-1\.0.*which poetry\.lock does not allow"):
        _lock(one, store, sdk)
    assert index.names()


def test_pins_count_where_their_marker_holds(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    for version in ("1.0", "2.0", "3.0"):
        make_wheel(sdk, "demo-lib", version)
    pins = (
        Pin(name="demo-lib", version="2.0", marker="python_version >= '3.12'"),
        Pin(name="demo-lib", version="1.0", marker="python_version < '3.12'"),
    )
    one = project(tmp_path, {"default": ["demo-lib"]}, pins=pins, pins_source="uv.lock")
    assert _versions(_lock(one, store, sdk))["demo-lib"] == "2.0"
    older = _lock(one, store, sdk, target("py311", sdk_version="1.42.0"))
    assert _versions(older)["demo-lib"] == "1.0"
    assert index.names()


def test_a_missing_wheel_names_what_there_is(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "demo-lib", "1.0")
    make_wheel(sdk, "demo-lib", "2.0", tag="cp312-cp312-manylinux_2_39_x86_64")
    make_wheel(sdk, "demo-lib", "2.0", tag="cp312-cp312-win_amd64")
    root = requirement("demo-lib>=2", origin="requirements.txt:3")
    with pytest.raises(ResolutionError) as refused:
        _lock(project(tmp_path, {"default": [root]}), store, sdk)
    said = str(refused.value)
    assert "demo-lib 2.0: there are wheels for cp312-cp312-manylinux_2_39_x86_64;" in said
    assert "the newest version with a wheel that fits: 1.0" in said
    assert "demo-lib>=2 (requirements.txt:3)" in said
    assert "glibc 2.34" in said
    assert "public.ecr.aws/sam/build-python3.12" in said
    assert index.names()


def test_a_package_without_any_wheel_is_said_to_be_source_only(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    index.add("demo_lib-1.0.tar.gz", b"source")
    with pytest.raises(ResolutionError, match=r"demo-lib==1\.0: there are no wheels at all, only source"):
        _lock(project(tmp_path, {"default": ["demo-lib"]}), store, sdk)


def test_an_older_version_is_never_taken_silently(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "demo-lib", "1.0")
    make_wheel(sdk, "bounded", "1.0")
    index.add("demo_lib-2.0.tar.gz", b"source")
    index.add("bounded-2.0.tar.gz", b"source")
    lock = _lock(project(tmp_path, {"default": ["demo-lib", "bounded<2"]}), store, sdk)
    assert [note for note in lock.notes if "no wheel" in note] == [
        "demo-lib 1.0: the newest version, 2.0, has no wheel that fits python3.12-x86_64 (glibc 2.34)"
    ]


def test_extras_are_locked_where_somebody_asks_for_them(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "leaf")
    make_wheel(
        sdk, "twig", requires=["leaf; extra == 'deep'", "urllib3; extra == 'no'"], extras=["deep", "no"]
    )
    make_wheel(sdk, "root", requires=["twig[deep]; extra == 'all'"], extras=["all"])
    lock = _lock(project(tmp_path, {"default": ["root[all]"]}), store, sdk)
    twig = lock.package("twig")
    assert twig is not None
    assert [(need.name, need.extra) for need in twig.requires] == [("leaf", "deep")]
    assert index.names()


def test_all_layers_share_one_version(store: Store, index: Loopback, sdk: Path, tmp_path: Path) -> None:
    for version in ("1.0", "2.0", "3.0"):
        make_wheel(sdk, "shared", version)
    lock = _lock(project(tmp_path, {"a": ["shared<3"], "b": ["shared>=1"]}), store, sdk)
    assert _versions(lock)["shared"] == "2.0"
    with pytest.raises(ResolutionError, match=r"shared<2 and shared>=2|shared>=2 and shared<2"):
        _lock(project(tmp_path, {"a": ["shared<2"], "b": ["shared>=2"]}), store, sdk)
    assert index.names()


def test_a_local_wheel_is_locked_by_its_content(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    wheel: BuiltWheel = make_wheel(mine, "own-lib", requires=["urllib3"])
    root = requirement("own-lib", path=wheel.path)
    lock = _lock(project(tmp_path, {"default": [root]}), store, sdk)
    package = lock.package("own-lib")
    assert package is not None
    assert (package.wheel.sha256, package.wheel.path) == (wheel.sha256, str(wheel.path))
    assert "urllib3" in _versions(lock)
    assert str(tmp_path) not in lock.path.read_text()
    assert index.names()


def test_a_lock_is_current_until_an_input_changes(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "demo-lib")
    one = project(tmp_path, {"default": ["demo-lib"]}, inputs=(("requirements.txt", "abc"),))
    assert locks.current(one, PY312) is None
    written = _lock(one, store, sdk)
    assert locks.current(one, PY312) == written
    other = project(tmp_path, {"default": ["demo-lib"]}, inputs=(("requirements.txt", "def"),))
    assert locks.current(other, PY312) is None
    assert locks.current(one, target("py312", sdk_version="1.44.0")) is None
    assert index.names()


def test_a_name_that_is_built_nowhere_is_told(
    store: Store, index: Loopback, sdk: Path, tmp_path: Path
) -> None:
    make_wheel(sdk, "plain")
    one = project(tmp_path, {"default": ["plain"]})
    one = replace(one, containers=Containers(build=("app", "plian")), distribution="app")
    lock = _lock(one, store, sdk)
    assert index.names()
    assert [note for note in lock.notes if "`build`" in note] == [
        "`build` names plian, which is not among the packages of the lock"
    ]
