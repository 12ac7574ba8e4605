from __future__ import annotations

import sys

import pytest
from packaging.specifiers import SpecifierSet

from layerkit.project.python_range import admits

RANGES = [
    ">=3.9",
    ">=3.9,<4.0",
    "<3.12",
    "<=3.12",
    "<=3.12.3",
    "==3.12.*",
    "!=3.12.*",
    ">3.12",
    "==3.12",
    "!=3.12",
    "",
    "<3.12.4",
]


@pytest.mark.parametrize("written", RANGES)
@pytest.mark.parametrize("version", ["3.8.20", "3.12.0", "3.12.3", "3.13.1"])
def test_plain_ranges_mean_what_packaging_says(
    written: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = SpecifierSet(written).contains(version)
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    assert admits(written, version) is expected


@pytest.mark.parametrize(
    ("written", "expected"), [("~=3.12.1", True), ("===3.12.3", True), (">=3.10,~=3.11.0", False)]
)
def test_other_ranges_are_left_to_packaging(written: str, expected: bool) -> None:  # noqa: FBT001
    assert admits(written, "3.12.3") is expected


@pytest.mark.parametrize("written", ["three", "3.9", ">=3.*"])
def test_what_is_no_range_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="specifier"):
        admits(written, "3.12.3")
