"""The findings of a check as SARIF 2.1.0, which code hosts show beside a change.

Written here, for the form is small and the libraries for it (sarif-om, sarif-pydantic) are classes of its
words: https://docs.oasis-open.org/sarif/sarif/v2.1.0/. A rule is a code, a location the zip that a finding is
about, with the member as its logical place.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from layerkit import __version__
from layerkit.check import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerkit.check import Finding, Report

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(reports: Sequence[tuple[str, Report]]) -> dict[str, Any]:
    """Return the document for (stack, report) pairs; what was ignored is in it as suppressed."""
    codes = sorted({each.code for _, one in reports for each in (*one.findings, *one.ignored)})
    results = [
        _result(each, stack, one, codes, ignored=ignored)
        for stack, one in reports
        for ignored, group in ((False, one.findings), (True, one.ignored))
        for each in group
    ]
    driver = {"name": "layerkit", "version": __version__, "rules": [_rule(code) for code in codes]}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}],
    }


def _rule(code: str) -> dict[str, Any]:
    severity, sentence = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": sentence},
        "defaultConfiguration": {"level": severity},
    }


def _result(each: Finding, stack: str, one: Report, codes: Sequence[str], *, ignored: bool) -> dict[str, Any]:
    message = f"{each.text}\n{each.fix}" if each.fix else each.text
    key = json.dumps([one.target_key, stack, each.code, each.where, each.text])
    return {
        "ruleId": each.code,
        "ruleIndex": codes.index(each.code),
        "level": each.severity,
        "message": {"text": message},
        "locations": [_location(each, [subject.name for subject in one.subjects])],
        "partialFingerprints": {"finding/v1": hashlib.sha256(key.encode()).hexdigest()},
        "properties": {"target": one.target_key, "stack": stack},
        **({"suppressions": [{"kind": "external"}]} if ignored else {}),
    }


def _location(each: Finding, zips: Iterable[str]) -> dict[str, Any]:
    """Return the zip that a finding is about: the first that it names, else the first of all."""
    names = list(zips)
    named = [name for name in names if each.where.startswith(name)] or names[:1]
    place: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": each.where}]}
    if named:
        place["physicalLocation"] = {"artifactLocation": {"uri": quote(max(named, key=len))}}
    return place
