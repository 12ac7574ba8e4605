"""The findings of a check in the form that code hosts read."""

from __future__ import annotations

from layerkit.check.findings import CODES, Subject, finding, report
from layerkit.project.specs import CheckRules
from layerkit.report.sarif import sarif

ZIPS = [Subject(name=name, zipped=1, unzipped=1, packages=0) for name in ("a b.zip", "a b.zip.zip")]


def test_results_name_their_rule_their_zip_and_their_member() -> None:
    found = [
        finding("pth-runs", "a b.zip: python/x.pth", "it runs", "leave it out"),
        finding("layer-count", "the stack", "6 layers", ""),
        finding("archive", "a b.zip.zip", "no zip", "get it again"),
    ]
    (run,) = sarif([("api", report("python3.12-x86_64", ZIPS, found))])["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [one["id"] for one in rules] == ["archive", "layer-count", "pth-runs"]
    assert rules[0]["shortDescription"]["text"] == CODES["archive"][1]
    assert [one["ruleId"] for one in run["results"]] == ["layer-count", "archive", "pth-runs"]
    for one in run["results"]:
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["level"] == CODES[one["ruleId"]][0]
    places = [one["locations"][0] for one in run["results"]]
    uris = [one["physicalLocation"]["artifactLocation"]["uri"] for one in places]
    assert uris == ["a%20b.zip", "a%20b.zip.zip", "a%20b.zip"]
    assert places[2]["logicalLocations"] == [{"fullyQualifiedName": "a b.zip: python/x.pth"}]
    assert run["results"][2]["message"]["text"] == "it runs\nleave it out"
    assert run["results"][0]["message"]["text"] == "6 layers"


def test_fingerprints_are_stable_and_differ_by_stack() -> None:
    made = report("python3.12-x86_64", ZIPS, [finding("pth-runs", "a b.zip", "it runs", "")])
    prints = [
        one["partialFingerprints"]["finding/v1"]
        for one in sarif([("a", made), ("b", made), ("a", made)])["runs"][0]["results"]
    ]
    assert prints[0] == prints[2] != prints[1]


def test_what_is_passed_over_is_suppressed_and_not_lost() -> None:
    made = report("python3.12-x86_64", ZIPS, [finding("pth-runs", "a b.zip", "it runs", "")])
    rules = CheckRules(ignore=frozenset({"pth-runs"}))
    (one,) = sarif([("a", made.under(rules))])["runs"][0]["results"]
    assert one["suppressions"] == [{"kind": "external"}]
