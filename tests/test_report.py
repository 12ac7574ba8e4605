from __future__ import annotations

import pytest

from layerkit.errors import UsageError
from layerkit.report import human, parse_size
from layerkit.report.runtimes import show_runtimes


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (2_000_000_000, "2.0 GB")],
)
def test_bytes_as_people_say_them(size: int, text: str) -> None:
    assert human(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("10GB", 10**10), ("1.5 MiB", 1_572_864), ("2k", 2000), ("3 TiB", 3 << 40), ("0", 0)],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "1 XB", "i", "1.2.3", "10 i"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


def test_runtimes_are_shown_with_the_day_of_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    show_runtimes(everything=False)
    few = capsys.readouterr().out
    assert "2026-11-21" in few
    assert "python3.12" in few
    assert "python3.7" not in few
    assert "python3.15" in few
    assert "cfn-lint" in few
    show_runtimes(everything=True)
    assert "python3.7" in capsys.readouterr().out
