from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from bundles import BIG, FILES, SITE, prepared
from layerkit.overlimit import measure
from layerkit.overlimit.framing import framed
from layerkit.overlimit.measure import measured

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store


@pytest.fixture
def moved(tmp_path: Path, store: Store) -> PreparedWheel:
    alpha = prepared(tmp_path / "wheels", store, "alpha", FILES)
    return framed(alpha, BIG, frozenset(), "zstd", SITE, store)


def test_the_loader_itself_is_timed_once_and_its_memory_taken(
    moved: PreparedWheel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = measured([moved], store)
    found = re.fullmatch(
        r"unpacking took (\d+\.\d\d) s here, on \d+ processors and with (\d+) MB of memory,"
        r" of the 10 s that a function has to start; what its imports take comes on top",
        said,
    )
    assert found
    assert float(found[1]) < 10
    assert 5 < int(found[2]) < 200
    monkeypatch.setattr(measure, "_measure", lambda _wheels: pytest.fail("it is known"))
    assert measured([moved], store) == said


def test_a_loader_that_fails_is_said_and_not_remembered(
    moved: PreparedWheel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_MEASURE", "import sys; sys.exit('layerkit: it is too small')")
    said = measured([moved], store)
    assert said == "what unpacking takes could not be measured: layerkit: it is too small"
    monkeypatch.undo()
    monkeypatch.setenv("LAYERKIT_CACHE", str(store.root))
    assert measured([moved], store).startswith("unpacking took")


def test_what_lies_in_s3_is_not_measured(moved: PreparedWheel, store: Store) -> None:
    apart = replace(moved, remote=(("alpha.frames", "0" * 64, 5),))
    assert measured([apart], store) == "what unpacking takes was not measured: frames lie in S3"


def test_a_figure_that_rotted_is_taken_again(moved: PreparedWheel, store: Store) -> None:
    measured([moved], store)
    (path,) = (store.root / "starts").rglob("*.json")
    path.write_text("{")
    assert measured([moved], store).startswith("unpacking took")
