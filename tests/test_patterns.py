from __future__ import annotations

import pytest

from layerkit.errors import ConfigError
from layerkit.patterns import decide, parse


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("a.py", ["a.py", "x/a.py", "x/y/a.py"], ["aXpy", "a.pyc", "ba.py"]),
        ("*.py", ["a.py", "x/.py", "x/y/a.py"], ["a.pyc", "py"]),
        ("/a.py", ["a.py"], ["x/a.py"]),
        ("./a.py", ["a.py"], ["x/a.py"]),
        ("x/a.py", ["x/a.py"], ["y/x/a.py", "a.py"]),
        ("x/*.py", ["x/a.py"], ["x/y/a.py"]),
        ("**/a.py", ["a.py", "x/a.py", "x/y/a.py"], ["ba.py"]),
        ("x/**", ["x/a", "x/y/a"], ["x", "a"]),
        ("x/**/a", ["x/a", "x/y/a", "x/y/z/a"], ["xa", "y/x/a"]),
        ("**", ["a", "x/a"], []),
        ("a?c", ["abc", "x/a.c"], ["ac", "a/c", "abbc"]),
        ("a*c", ["ac", "abbc"], ["a/c", "abcd"]),
        ("a**c", ["ac", "abbc"], ["a/c"]),
        ("[ab]", ["a", "b"], ["c", "ab"]),
        ("[!ab]", ["c"], ["a", "b", ""]),
        ("[a-c]x", ["bx"], ["dx"]),
        ("[]a]", ["]", "a"], ["b"]),
        (r"\*", ["*"], ["a"]),
        (r"\!a", ["!a"], ["a"]),
        ("a.b+c(d)", ["a.b+c(d)"], ["aXb+c(d)", "a.bbc(d)"]),
        ("grüße/*", ["grüße/ü"], ["grusse/u"]),
    ],
)
def test_what_a_pattern_fits(pattern: str, fits: list[str], misses: list[str]) -> None:
    made = parse(pattern)
    assert [name for name in fits + misses if made.fits(name, folder=False)] == fits


def test_slash_at_the_end_is_for_folders() -> None:
    assert parse("x/").fits("x", folder=True)
    assert parse("x/").fits("y/x", folder=True)
    assert not parse("x/").fits("x", folder=False)
    assert not parse("/x/").fits("y/x", folder=True)


def test_last_pattern_that_fits_decides() -> None:
    patterns = [parse(text) for text in ("*.py", "!keep.py", "x/keep.py")]
    assert decide(patterns, "a.py", folder=False) is True
    assert decide(patterns, "keep.py", folder=False) is False
    assert decide(patterns, "x/keep.py", folder=False) is True
    assert decide(patterns, "a.txt", folder=False) is None


@pytest.mark.parametrize("text", ["a", "/x/a.py", "x/", "a b"])
def test_literal_patterns_know_that_they_are(text: str) -> None:
    assert parse(text).literal


@pytest.mark.parametrize("text", ["*", "a?", "[a]", r"\a", "x/**"])
def test_wildcards_are_not_literal(text: str) -> None:
    assert not parse(text).literal


@pytest.mark.parametrize("text", ["", "/", "!", "//", "../a", "x/../a", "..", "[a", "x[!", "[z-a]"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert text.rsplit("/", 1)[-1].lstrip("!") in caught.value.what
