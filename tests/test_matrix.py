"""What CI fans out over."""

from __future__ import annotations

import json

from layerkit.report.matrix import FORMS, include
from layerkit.target import target

TARGETS = [target("py312"), target("py313", "arm64")]


def test_there_is_an_entry_for_each_target() -> None:
    assert include(TARGETS)["include"] == [
        {"name": "py312-x86_64", "runtime": "python3.12", "arch": "x86_64"},
        {"name": "py313-arm64", "runtime": "python3.13", "arch": "arm64"},
    ]


def test_text_has_a_line_for_each() -> None:
    assert FORMS["text"](TARGETS) == "python3.12 x86_64\npython3.13 arm64"


def test_an_output_of_a_step_is_one_line() -> None:
    text = FORMS["github"](TARGETS)
    assert "\n" not in text
    assert json.loads(text) == include(TARGETS)


def test_gitlab_gets_a_job_for_each_and_one_that_publishes() -> None:
    pipeline = json.loads(FORMS["gitlab"](TARGETS))
    assert pipeline["layers"]["parallel"]["matrix"][1] == {"RUNTIME": "python3.13", "ARCH": "arm64"}
    assert pipeline["publish"] == {"extends": ".layerkit-publish"}
