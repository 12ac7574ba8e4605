from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.errors import ResolutionError
from layerkit.lock import LockedPackage, WheelRef
from layerkit.lock.pick import attested, pick, sized
from layerkit.lock.uv import Candidate
from layerkit.project.requirement import Pin
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path


def _candidate(*filenames: str) -> Candidate:
    refs = tuple(WheelRef(filename=name, sha256="0" * 64) for name in filenames)
    return Candidate(name="demo", version="1.0", wheels=refs)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("demo-1.0-py3-none-any.whl", "demo-1.0-cp311-cp311-manylinux1_x86_64.whl"), 1),
        (
            (
                "demo-1.0-cp311-cp311-manylinux_2_26_x86_64.whl",
                "demo-1.0-cp311-cp311-manylinux2014_x86_64.whl",
            ),
            0,
        ),
        (
            ("demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "demo-1.0-cp38-abi3-manylinux2014_x86_64.whl"),
            1,
        ),
        (("demo-1.0-cp39-abi3-manylinux2014_x86_64.whl", "demo-1.0-cp311-cp311-linux_x86_64.whl"), 1),
        (("demo-1.0-py2.py3-none-any.whl", "demo-1.0-py3-none-manylinux2014_x86_64.whl"), 1),
        (("demo-1.0-2-py3-none-any.whl", "demo-1.0-10-py3-none-any.whl"), 1),
        (("demo-1.0-py3-none-any.whl", "demo-1.0-1-py3-none-any.whl"), 1),
        (("nonsense.whl", "demo-1.0-py3-none-any.whl"), 1),
    ],
)
def test_the_wheel_that_pip_on_the_runtime_would_take(offered: tuple[str, ...], chosen: int) -> None:
    for names in (offered, offered[::-1]):
        assert pick(_candidate(*names), target("py311")).wheel.filename == offered[chosen]


def test_no_wheel_that_fits_is_an_error_with_what_is_there() -> None:
    with pytest.raises(
        ResolutionError, match=r"demo 1\.0 has no wheel that fits python3\.11-arm64"
    ) as refused:
        pick(_candidate("demo-1.0-cp311-cp311-manylinux2014_x86_64.whl"), target("py311", "arm64"))
    assert refused.value.where == "demo-1.0-cp311-cp311-manylinux2014_x86_64.whl"


def test_a_local_wheel_gets_the_hash_of_its_file(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    ref = WheelRef(filename=wheel.filename, sha256="", path=str(wheel.path))
    package = sized(LockedPackage(name="demo", version="1.0", wheel=ref))
    assert (package.wheel.sha256, package.wheel.size) == (wheel.sha256, wheel.size)


def test_the_hash_of_an_index_is_taken_as_it_is() -> None:
    ref = WheelRef(filename="demo-1.0-py3-none-any.whl", sha256="12" * 32, url="https://files.example/demo")
    package = LockedPackage(name="demo", version="1.0", wheel=ref)
    assert sized(package) == package


def test_who_attested_to_a_file_is_carried_for_that_very_file() -> None:
    ref = WheelRef(filename="a-1-py3-none-any.whl", sha256="a" * 64)
    packages = [LockedPackage(name=name, version="1", wheel=ref) for name in ("same", "other", "unpinned")]
    pins = {
        name: Pin(name=name, version="1", hashes=frozenset({f"sha256:{digest * 64}"}), attestations="[1]")
        for name, digest in (("same", "a"), ("other", "b"))
    }
    assert [one.attestations for one in attested(packages, pins)] == ["[1]", "", ""]
