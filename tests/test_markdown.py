"""What a job's summary shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

import small
from layerkit.errors import StorageError
from layerkit.publish.record import LayerRow
from layerkit.report import markdown

if TYPE_CHECKING:
    from pathlib import Path


def test_layers_and_stacks_are_shown_with_their_sizes(tmp_path: Path) -> None:
    manifest = small.build(tmp_path / "here").manifest
    lines = markdown.built(manifest).splitlines()
    assert lines[0] == "### small 1.2: python3.12 x86_64"
    layer = manifest.layers[0]
    (row,) = (line for line in lines if line.startswith(f"| {layer.name} |") and layer.zip.sha256 in line)
    assert f"| {len(layer.packages)} |" in row
    assert any(line.startswith(f"| {manifest.stacks[0].name} |") and "0 %" in line for line in lines)
    assert "- built small" in lines


def test_no_layer_makes_no_table(tmp_path: Path) -> None:
    manifest = replace(small.build(tmp_path / "here").manifest, layers=(), stacks=(), notes=("a|b",))
    assert markdown.built(manifest) == "### small 1.2: python3.12 x86_64\n\n- a|b"


def test_arns_are_shown_and_bars_do_not_break_the_table() -> None:
    row = LayerRow(
        account="1", region="eu|west", layer="a", name="n", targets=(), sha256="", zipped=1, unzipped=1,
        through="direct", status="published", arn="arn:x",
    )  # fmt: skip
    assert markdown.published([row]).splitlines()[-1] == "| a | 1 | eu\\|west | published | `arn:x` |"


def test_a_summary_goes_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    markdown.append(path, "ours")
    assert path.read_text() == "before\nours\n\n"
    with pytest.raises(StorageError, match="the summary cannot be written"):
        markdown.append(tmp_path / "no" / "folder.md", "ours")
