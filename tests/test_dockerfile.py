from __future__ import annotations

import pytest

from layerkit.container.dockerfile import Recipe, expand, read
from layerkit.errors import ConfigError

DIGEST = "sha256:" + "a" * 64


def recipe(text: str, stage: str = "", **given: str) -> Recipe:
    return read(text, given.get, stage, "the Dockerfile")


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM debian", ("debian",)),
        ("from\tdebian:12 as x\nFROM X\nFROM scratch", ("debian:12",)),
        (
            "FROM a AS b\nFROM c\nCOPY --from=b /x /x\nCOPY --chown=1 --from=d /x /\nCOPY --from=0 / /",
            ("a", "c", "d"),
        ),
        ("FROM --platform=linux/amd64 a AS b", ("a",)),
        (
            "# syntax=docker/dockerfile:1\n# escape=`\nFROM `\n  # said between\n\n  a\nRUN x \\\nFROM b",
            ("a", "b"),
        ),
        ("RUN one \\\n FROM two\nFROM a", ("a",)),
        ("\ufeffFROM a\nFROM a\nRUN x \\", ("a",)),
        ("ARG A=x\nARG B=${A}/y:1\nFROM $B", ("x/y:1",)),
        ('ARG A="x y" B=z\nFROM ${B}', ("z",)),
        ("FROM a\nARG A=b\nFROM ${A:-c}", ("a", "c")),
    ],
)
def test_the_images_from_outside_are_found(text: str, images: tuple[str, ...]) -> None:
    assert recipe(text).images == images


def test_arguments_that_are_given_stand_above_the_defaults() -> None:
    text = "ARG TAG=1\nARG DIGEST\nFROM a:${TAG}${DIGEST:+@${DIGEST}}\nARG INNER=x"
    assert recipe(text).images == ("a:1",)
    found = recipe(text, DIGEST=DIGEST, INNER="y", OTHER="z")
    assert found.images == (f"a:1@{DIGEST}",)
    assert found.arguments == (("DIGEST", DIGEST), ("INNER", "y"))


def test_images_without_a_digest_are_loose() -> None:
    assert recipe(f"FROM a@{DIGEST}\nFROM b:1\nFROM c@sha256:12").loose == ("b:1", "c@sha256:12")


def test_what_lies_behind_the_wanted_stage_does_not_count() -> None:
    text = "FROM a AS One\nFROM b AS two\nCOPY --from=c / /\nFROM d"
    assert recipe(text, "one").images == ("a",)
    assert recipe(text, "TWO").images == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "stage", "said"),
    [
        ("", "", "no FROM line"),
        ("ARG A\nFROM $A", "", "`FROM $A` names no image"),
        ("FROM a b c", "", "names no image"),
        ("FROM a AS x\nFROM b", "y", "there is no stage called 'y'"),
    ],
)
def test_what_cannot_be_built_is_told(text: str, stage: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe(text, stage)
    assert said in str(caught.value)
    assert caught.value.where == "the Dockerfile"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$A-${A}", "1-1"),
        ("$", "$"),
        ("a$$", "a$$"),
        ("${B:-x${A}}", "x1"),
        ("${A:+${B:-y}z}", "yz"),
        ("${B:+no}", ""),
        ("${A", "1"),
        ("${" * 5000, ""),
    ],
)
def test_variables(text: str, filled: str) -> None:
    assert expand(text, {"A": "1"}) == filled
