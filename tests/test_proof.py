"""The second look at a plan: what is wrong is seen, whoever made it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from layerkit.errors import LayerkitError
from layerkit.plan.proof import doubts
from layerkit.target import limit
from locks import PANDAS, lock, planned, project

NEEDS = {"demo": frozenset({"pandas", "numpy", "python-dateutil", "six"})}


def sound() -> Any:
    return planned(project({"base": ["numpy"], "top": ["pandas"]}), lock(PANDAS))


def changed(**layers: tuple[str, ...]) -> Any:
    """Return the plan with other packages in some layers."""
    plan = sound()
    made = [
        replace(layer, packages=layers.get(layer.name, layer.packages), unzipped=layer.unzipped)
        for layer in plan.layers
    ]
    return replace(plan, layers=tuple(made))


def test_a_sound_plan_raises_no_doubt() -> None:
    assert doubts(sound(), NEEDS, {}) == []


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (changed(base=()), "demo lacks numpy"),
        (changed(base=("numpy", "six")), "demo has six in more than one layer"),
        (changed(base=("numpy", "numpy")), "a package lies twice in base"),
        (replace(sound(), stacks=()), "demo has no stack"),
        (replace(sound(), layers=sound().layers * 2), "two layers are called base"),
        (replace(sound(), stacks=(replace(sound().stacks[0], unzipped=3),)), "demo is said to have 3 bytes"),
    ],
)
def test_what_is_wrong_is_seen(plan: Any, words: str) -> None:
    assert any(words in doubt for doubt in doubts(plan, NEEDS, {}))


def test_the_limits_are_looked_at_once_more() -> None:
    found = doubts(sound(), NEEDS, {"demo": limit("unzipped_bytes") - 4})
    assert any("more than Lambda takes" in doubt for doubt in found)
    assert not any(
        "Lambda takes" in one for one in doubts(sound(), NEEDS, {"demo": limit("unzipped_bytes") - 5})
    )


def test_a_plan_in_doubt_is_never_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.plan.partition", lambda *_: {"base": set(), "top": {"pandas"}})
    with pytest.raises(LayerkitError, match=r"contradicts itself: demo lacks numpy"):
        sound()
