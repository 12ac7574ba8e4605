from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from layerkit.check.version_set import admits

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
SUFFIX = st.sampled_from(
    [""] * 6 + ["rc1", "a0", "b2", ".post0", ".post1", ".dev0", "rc1.dev2", "+cu12.1", ".post2+x"]
)
VERSIONS = st.builds(
    lambda epoch, numbers, suffix: epoch + numbers + suffix,
    st.sampled_from([""] * 9 + ["1!"]),
    NUMBERS,
    SUFFIX,
)
PLAIN = st.builds(str.__add__, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "=== "]), NUMBERS)
SUFFIXED = st.builds(
    lambda operator, numbers, suffix: operator + numbers + suffix,
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    NUMBERS,
    st.sampled_from(["rc1", ".post1", ".dev0", "a.0", "b1.dev2", ".post0.dev1"]),
)
WILD = st.builds(lambda operator, numbers: f"{operator} {numbers}.*", st.sampled_from(["==", "!="]), NUMBERS)
COMPATIBLE = st.builds(lambda numbers, last: f"~={numbers}.{last}", NUMBERS, st.integers(0, 12))
SETS = st.lists(st.one_of(PLAIN, WILD, COMPATIBLE, SUFFIXED), max_size=3).map(",".join)


@settings(max_examples=500, deadline=None)
@given(SETS, VERSIONS)
def test_same_answer_as_packaging(specifier: str, version: str) -> None:
    assert admits(specifier, version) == SpecifierSet(specifier).contains(version, prereleases=True)


@settings(max_examples=600, deadline=None)
@given(st.one_of(PLAIN, WILD, COMPATIBLE, SUFFIXED), SUFFIX, st.data())
def test_same_answer_as_packaging_close_to_the_bound(clause: str, suffix: str, data: st.DataObject) -> None:
    found = re.search(r"[0-9]+(\.[0-9]+)*", clause)
    assert found
    bound = found[0]
    close = data.draw(st.sampled_from([bound, bound + ".0", bound.rpartition(".")[0] or bound, bound + ".1"]))
    expected = SpecifierSet(clause).contains(close + suffix, prereleases=True)
    assert admits(clause, close + suffix) == expected


@pytest.mark.parametrize("specifier", [">=1.x", "~=1", ">= ", "1.0", "<1.*"])
def test_what_is_no_set_is_refused(specifier: str) -> None:
    with pytest.raises(ValueError, match="Invalid specifier"):
        admits(specifier, "1.0")


def test_version_that_is_none_is_in_no_set_that_narrows() -> None:
    assert admits("", "weird")
    assert not admits(">=1", "weird")
    assert admits("===weird", "weird")


def test_plain_sets_need_no_packaging() -> None:
    program = (
        "import sys; from layerkit.check.version_set import admits\n"
        "assert admits('>=1.26,<3,!=2.1.*', '2.0') and admits('~=4.1', '4.16')\n"
        "assert admits('>=2.9.0', '2.9.0.post0') and admits('<2.0a.0,>=1.37.4', '1.42.97')\n"
        "assert admits('!=4.0.0a0,>=3.9.0', '3.14.5')\n"
        "print('packaging' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
