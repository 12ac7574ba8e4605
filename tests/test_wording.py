"""Words that sentences share."""

from __future__ import annotations

from layerkit.wording import plural


def test_only_one_of_a_thing_is_one_thing() -> None:
    assert [plural(number, "file") for number in (0, 1, 2)] == ["files", "file", "files"]
