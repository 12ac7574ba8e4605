from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.check import CODES
from layerkit.check.findings import finding, known_codes, report
from layerkit.errors import CheckFailedError, LimitExceededError, UsageError
from layerkit.project.specs import CheckRules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerkit.check.findings import Finding


def codes(findings: Iterable[Finding]) -> list[str]:
    return [each.code for each in findings]


def test_every_code_has_a_severity_and_a_sentence() -> None:
    for code, (severity, sentence) in CODES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+|archive", code)
        assert finding(code, "", "", "").severity == severity
        assert sentence[0].isupper()
        assert sentence.endswith(".")


def test_errors_stand_first_once_each_and_are_all_raised() -> None:
    faults = [
        finding("direct-upload", "a.zip", "large", "use S3"),
        finding("missing-requirement", "data: x 1", "x 1 requires y", "add y"),
        finding("missing-requirement", "data: x 1", "x 1 requires y", "add y"),
        finding("archive", "b.zip", "no zip", "get it again"),
    ]
    made = report("python3.12-x86_64", [], faults)
    assert codes(made.findings) == ["missing-requirement", "archive", "direct-upload"]
    with pytest.raises(CheckFailedError, match="2 faults") as error:
        made.raise_for_errors()
    assert "x 1 requires y [missing-requirement]\n      add y" in str(error.value)
    assert "no zip [archive]" in str(error.value)
    assert "use S3" not in str(error.value)


def test_limits_alone_have_the_exit_code_of_limits() -> None:
    made = report(
        "t",
        [],
        [finding("layer-count", "the stack", "6 layers", "merge"), finding("direct-upload", "", "", "")],
    )
    with pytest.raises(LimitExceededError, match="6 layers"):
        made.raise_for_errors()
    mixed = report("t", [], [*made.findings, finding("archive", "a.zip", "no zip", "again")])
    with pytest.raises(CheckFailedError):
        mixed.raise_for_errors()


def test_report_prints_as_json() -> None:
    made = report("t", [], [finding("direct-upload", "a.zip", "large", "use S3")])
    printed = json.loads(json.dumps(made.as_json()))
    assert printed == {
        "target": "t",
        "passed": True,
        "checked": [],
        "findings": [
            {
                "code": "direct-upload",
                "severity": "warning",
                "where": "a.zip",
                "text": "large",
                "fix": "use S3",
            }
        ],
        "ignored": [],
        "codes": {"direct-upload": CODES["direct-upload"][1]},
    }


def test_rules_pass_over_codes_and_say_what_fails() -> None:
    found = [finding("direct-upload", "a", "large", "use S3"), finding("layer-count", "b", "6", "merge")]
    made = report("t", [], found)
    assert made.failing == made.errors
    ignored = made.under(CheckRules(ignore=frozenset({"layer-count"})))
    assert (codes(ignored.findings), codes(ignored.ignored)) == (["direct-upload"], ["layer-count"])
    assert ignored.failure("s") is None
    assert ignored.as_json()["passed"]
    strict = made.under(CheckRules(fail_on="warning"))
    error = strict.failure("api")
    assert isinstance(error, CheckFailedError)
    assert str(error) == "t: stack api: 2 findings that must not be: layer-count, direct-upload"
    assert isinstance(made.failure("api"), LimitExceededError)
    never = made.under(CheckRules(fail_on="never"))
    assert never.failure("api") is None
    never.raise_for_errors()


def test_codes_that_no_finding_has_are_refused_with_the_nearest() -> None:
    known_codes(["direct-upload"], "--ignore")
    with pytest.raises(UsageError, match=r"--ignore: there is no finding called 'direct-uplod'") as error:
        known_codes(["direct-uplod"], "--ignore")
    assert error.value.fix == "did you mean direct-upload?"


def test_the_documentation_lists_every_code() -> None:
    page = (Path(__file__).parent.parent / "docs" / "check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(code, *CODES[code]) for code in sorted(CODES)]
