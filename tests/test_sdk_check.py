"""SDKs removed by half, and pairs that fail together whatever their metadata allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.check import brought, check_zips
from layerkit.check.sdk_check import BAD_PAIRS, BadPair
from layerkit.target import target
from zips import SITE, installed_files, zipped

if TYPE_CHECKING:
    from pathlib import Path

DATA = {f"{SITE}/botocore/data/sdk-default-configuration.json": "{}"}


def codes(folder: Path, files: dict[str, str], runtime: str = "py312") -> list[str]:
    made, goal = zipped(folder / "one.zip", files), target(runtime)
    return [one.code for one in check_zips([made], goal, brought(goal)).findings]


def sdk(*names: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in names:
        files |= installed_files(f"{name} {'0.16.0' if name == 's3transfer' else '1.42.97'}")
    return files


def test_whole_sdk_or_none_is_fine(tmp_path: Path) -> None:
    assert codes(tmp_path, sdk("boto3", "botocore", "s3transfer") | DATA) == []
    assert codes(tmp_path, installed_files("demo 1.0")) == []


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("boto3",), "sdk-half"),
        (("boto3", "botocore"), "sdk-half"),
        (("boto3", "s3transfer"), "sdk-half"),
        (("botocore",), "sdk-mixed"),
        (("botocore", "s3transfer"), "sdk-mixed"),
    ],
)
def test_half_of_it(tmp_path: Path, names: tuple[str, ...], code: str) -> None:
    assert codes(tmp_path, sdk(*names) | DATA) == [code]


def test_data_that_was_slimmed_too_far(tmp_path: Path) -> None:
    assert codes(tmp_path, sdk("boto3", "botocore", "s3transfer")) == ["sdk-half"]


def test_metadata_without_its_modules(tmp_path: Path) -> None:
    files = sdk("boto3", "botocore", "s3transfer") | DATA
    del files[f"{SITE}/boto3/__init__.py"]
    assert codes(tmp_path, files) == ["sdk-half", "sdk-mixed"]


@pytest.mark.parametrize("pair", BAD_PAIRS, ids=lambda pair: f"{pair.one}-{pair.other}{pair.pythons}")
def test_every_pair_is_found_and_its_neighbours_are_not(tmp_path: Path, pair: BadPair) -> None:
    runtime = "py39" if pair.pythons else "py312"
    one = pair.versions.removeprefix(">=")
    site = f"python/lib/{target(runtime).runtime}/site-packages"
    other = "1.20" if pair.other == "botocore" else "0.1"
    for version, expected in ((f"{one}.5", True), ("1.0", False)):
        files = installed_files(f"{pair.one} {version}", below=site)
        files |= installed_files(f"{pair.other} {other}", below=site)
        found = codes(tmp_path, files, runtime)
        assert ("known-bad-pair" in found) is expected
    assert pair.source


def test_urllib3_2_with_the_runtimes_own_old_botocore(tmp_path: Path) -> None:
    made = zipped(tmp_path / "one.zip", installed_files("urllib3 2.2.0"))
    old = target("py312", sdk_version="1.29.90")
    (one,) = check_zips([made], old, brought(old)).findings
    assert one.code == "known-bad-pair"
    assert "DEFAULT_CIPHERS" in one.text
    assert check_zips([made], target("py312"), brought(target("py312"))).findings == ()
