from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from bundles import BIG, FILES, FRAMES, SITE, lay, prepared
from layerkit.archive import DamagedRunError, Run
from layerkit.overlimit import codec, frames, framing
from layerkit.overlimit.framing import framed
from layerkit.overlimit.layerkit_loader.frames import FORMAT
from layerkit.prepare import load

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

NONE: frozenset[str] = frozenset()


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (codec, frames, framing):
        monkeypatch.setattr(module, "FRAME", 10_000)


@pytest.fixture
def alpha(tmp_path: Path, store: Store) -> PreparedWheel:
    return prepared(tmp_path / "wheels", store, "alpha", FILES)


def names(wheel: PreparedWheel) -> set[str]:
    return {entry.name.removeprefix(f"{SITE}/") for entry in Run.open(wheel.path).names()}


def test_moved_files_are_gone_and_an_index_and_frames_have_come(alpha: PreparedWheel, store: Store) -> None:
    made = framed(alpha, BIG, NONE, "zstd", SITE, store)
    gone, come = names(alpha) - names(made), names(made) - names(alpha)
    assert gone == BIG | {"alpha/bin/tool"}
    assert sorted(name.rpartition(".")[2] for name in come) == ["frames", "json"]
    assert all(name.startswith("layerkit_frames/alpha-") for name in come)
    assert made.unzipped < alpha.unzipped
    assert (made.name, made.version, made.modules) == (alpha.name, alpha.version, alpha.modules)
    assert made.unpacked > sum(len(FILES[name]) for name in BIG)
    assert load(store, made.key) == made


def test_the_index_says_all_that_the_loader_asks(tmp_path: Path, alpha: PreparedWheel, store: Store) -> None:
    site = lay(tmp_path / "opt", [framed(alpha, BIG, NONE, "zlib", SITE, store)])
    (path,) = (site / "layerkit_frames").glob("*.json")
    index = json.loads(path.read_text())
    assert index["format"] == FORMAT
    assert index["modules"] == ["alpha"]
    assert index["folders"] == ["alpha", "alpha.libs", "alpha/bin", "alpha/data"]
    assert [row[0] for row in index["files"]] == sorted(BIG | {"alpha/bin/tool"})
    assert {row[0]: row[2] for row in index["files"]}["alpha/bin/tool"] is True
    assert (index["codec"], index["frame"], index["remote"]) == ("zlib", 10_000, False)
    blob = site / "layerkit_frames" / index["blob"]
    assert blob.stat().st_size == sum(length for length, _ in index["frames"])


def test_record_lists_what_is_there(tmp_path: Path, alpha: PreparedWheel, store: Store) -> None:
    site = lay(tmp_path / "opt", [framed(alpha, BIG, NONE, "zlib", SITE, store)])
    text = (site / "alpha-1.0.dist-info" / "RECORD").read_text()
    rows = list(csv.reader(io.StringIO(text)))
    listed = {row[0] for row in rows}
    assert listed == {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert rows[-1] == ["alpha-1.0.dist-info/RECORD", "", ""]
    assert all(row[1].startswith("sha256=") and row[2].isdigit() for row in rows[:-1])


def test_made_once_and_anew_for_other_files_or_another_codec(alpha: PreparedWheel, store: Store) -> None:
    first = framed(alpha, BIG, NONE, "zstd", SITE, store)
    stamp = first.path.stat().st_mtime_ns
    assert framed(alpha, BIG, NONE, "zstd", SITE, store) == first
    assert first.path.stat().st_mtime_ns == stamp
    others = [
        framed(alpha, BIG, NONE, "zlib", SITE, store),
        framed(alpha, frozenset({"alpha/core.so"}), NONE, "zstd", SITE, store),
        framed(alpha, BIG, frozenset({"alpha/core.so"}), "zstd", SITE, store),
    ]
    assert len({first.key, *(other.key for other in others)}) == 4


def test_remote_frames_are_a_file_of_the_store_and_in_no_layer(alpha: PreparedWheel, store: Store) -> None:
    made = framed(alpha, BIG, frozenset({"alpha/core.so"}), "zstd", SITE, store)
    ((file, sha256, size),) = made.remote
    kept = store.path("frames", sha256, ".frames")
    assert kept.stat().st_size == size
    assert file == f"alpha-{sha256[:16]}.frames"
    assert f"layerkit_frames/{file}" not in names(made)
    assert len([name for name in names(made) if name.startswith("layerkit_frames/")]) == 3


def test_a_prepared_wheel_that_rotted_is_refused_by_name(alpha: PreparedWheel, store: Store) -> None:
    data = bytearray(alpha.path.read_bytes())
    data[200] ^= 0xFF
    alpha.path.write_bytes(data)
    with pytest.raises(DamagedRunError) as caught:
        framed(alpha, BIG, NONE, "zstd", SITE, store)
    assert caught.value.path == alpha.path
    assert not list((store.root / "prepared").rglob("*.tmp"))


def test_the_layer_is_a_plain_zip(tmp_path: Path, alpha: PreparedWheel, store: Store) -> None:
    lay(tmp_path / "opt", [framed(alpha, BIG, NONE, "zstd", SITE, store)])
    with zipfile.ZipFile(tmp_path / "opt.zip") as archive:
        assert archive.testzip() is None
        stored = {info.filename: info.compress_type for info in archive.infolist()}
    assert [
        kind for name, kind in stored.items() if name.startswith(FRAMES) and name.endswith(".frames")
    ] == [0]
