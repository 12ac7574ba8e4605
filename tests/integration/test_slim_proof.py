"""Slimming is safe for the packages that matter most; `make slim-proof` proves it for all that are known.

Each is laid out whole and slimmed, and the target's interpreter imports it and runs a line in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from layerkit.slim.table import Row
from real import glibc, here, interpreter
from slim_proof import SLIM, corpus, locked, prove_all

if TYPE_CHECKING:
    from pathlib import Path

    from real import Workshop

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        here() != "x86_64" or glibc() < (2, 34), reason="the wheels run on x86_64, glibc 2.34"
    ),
    pytest.mark.skipif(interpreter("3.12") is None, reason="there is no Python 3.12 on this machine"),
]


@pytest.fixture
def folder(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder to lay out in; the store is that of the session."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(workshop.store))
    return tmp_path


def test_what_is_left_out_is_missed_by_nobody(folder: Path) -> None:
    bounded = corpus()["bounded"]
    packages, target, store = locked(bounded, folder / "project")
    verdicts = {one.name: one for one in prove_all(packages, target, store, folder / "laid", deep=False)}
    assert {name for name, one in verdicts.items() if one.differences} == set()
    assert {verdicts[name].line for name in bounded} == {"runs"}
    assert all(one.modules for one in verdicts.values())
    smaller = {name for name, one in verdicts.items() if one.after < 0.85 * one.before}
    assert {"numpy", "pandas", "scikit-learn", "scipy"} <= smaller


def test_the_proof_notices_what_is_missed(folder: Path) -> None:
    packages, target, store = locked(["jinja2"], folder / "project")
    wrong = Row(name="wrong", patterns=("/jinja2/tests.py", "/markupsafe/__init__.py"), reason="", own=True)
    rules = replace(SLIM, rows=(wrong, *SLIM.rows))
    ours = [one for one in packages if one.name in {"jinja2", "markupsafe"}]
    found = {
        one.name: one.differences for one in prove_all(ours, target, store, folder, deep=True, rules=rules)
    }
    assert any(sentence.startswith("(line): well ->") for sentence in found["jinja2"])
    assert any(sentence.startswith("jinja2.filters: well ->") for sentence in found["jinja2"])
    assert "markupsafe: well -> a folder without __init__.py" in found["markupsafe"]
