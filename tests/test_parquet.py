"""The reader of Parquet objects: what an event asks for, and the statistics, beside pandas' own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fastparquet
import fsspec
import numpy as np
import pandas as pd
import pytest
from parquet_summary import summary
from parquet_summary.event import wanted
from parquet_summary.handler import handler
from parquet_summary.summary import NotFoundError, NotParquetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that stands for S3, with one object of three row groups."""
    monkeypatch.setattr(summary, "file_system", lambda: fsspec.filesystem("file"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bucket").mkdir()
    fastparquet.write("bucket/table.parquet", table(), row_group_offsets=[0, 40, 50])
    return tmp_path / "bucket"


def table() -> pd.DataFrame:
    random = np.random.default_rng(7)
    numbers = random.normal(50, 10, 100)
    numbers[::7] = np.nan
    words = pd.Series([None if number % 3 else f"word {number}" for number in range(100)], dtype=object)
    return pd.DataFrame(
        {
            "number": numbers,
            "whole": random.integers(-5, 5, 100),
            "word": words,
            "when": pd.date_range("2026-01-01", periods=100, freq="h"),
            "yes": random.integers(0, 2, 100).astype(bool),
            "none": np.full(100, np.nan),
        }
    )


def ask(**event: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(json.dumps(handler(event, None), allow_nan=False))
    return answer


def test_numbers_are_those_of_pandas(data: Path) -> None:
    answer = ask(bucket=data.name, key="table.parquet")
    assert (answer["object"], answer["rows"], answer["row_groups"]) == ("bucket/table.parquet", 100, 3)
    expected = table()
    assert list(answer["columns"]) == list(expected)
    for name in ("number", "whole"):
        found, column = answer["columns"][name], expected[name]
        assert (found["count"], found["missing"]) == (column.count(), column.isna().sum())
        for what in ("min", "max", "mean", "std"):
            assert found[what] == pytest.approx(getattr(column, what)()), (name, what)


def test_other_types_have_what_they_can_have(data: Path) -> None:
    columns = ask(bucket=data.name, key="table.parquet")["columns"]
    assert (columns["word"]["min"], columns["word"]["max"], columns["word"]["missing"]) == (
        "word 0",
        "word 99",
        66,
    )
    assert "mean" not in columns["word"]
    assert (columns["when"]["min"], columns["when"]["max"]) == ("2026-01-01T00:00:00", "2026-01-05T03:00:00")
    assert columns["yes"]["mean"] == pytest.approx(table()["yes"].mean())
    assert columns["none"] == {"type": "float64", "count": 0, "missing": 100, "min": None, "max": None}


def test_only_the_columns_that_are_wanted(data: Path) -> None:
    assert list(ask(bucket=data.name, key="table.parquet", columns=["whole"])["columns"]) == ["whole"]
    with pytest.raises(NotFoundError, match="no column height; it has number"):
        ask(bucket=data.name, key="table.parquet", columns=["height"])


def test_what_is_not_there_or_no_parquet(data: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no object bucket/absent"):
        ask(bucket=data.name, key="absent")
    whole = (data / "table.parquet").read_bytes()
    for name, content in (
        ("text", b"number\n1\n"),
        ("empty", b""),
        ("cut", whole[:-40]),
        ("head", whole[:40]),
    ):
        (data / name).write_bytes(content)
        with pytest.raises(NotParquetError, match=f"bucket/{name} is no Parquet"):
            ask(bucket=data.name, key=name)


def test_the_event_of_s3_names_its_object() -> None:
    record = {"s3": {"bucket": {"name": "b"}, "object": {"key": "a+folder/%C3%A4.parquet"}}}
    assert wanted({"Records": [record]}) == ("b", "a folder/ä.parquet", None)


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"bucket": "b"},
        {"bucket": "b", "key": 1},
        {"bucket": "", "key": "k"},
        {"bucket": "b", "key": "k", "columns": "c"},
        {"bucket": "b", "key": "k", "columns": []},
        {"bucket": "b", "key": "k", "more": 1},
        {"Records": [{}]},
        {"Records": [1, 2]},
    ],
)
def test_any_other_event_is_refused(event: Any) -> None:
    with pytest.raises(ValueError, match=r"the event|columns|bucket and key"):
        wanted(event)
