from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bundles import PY312, SITE, lay, loader_of
from layerkit.overlimit.loader_wheel import NAME, loader
from layerkit.project import OverLimit
from layerkit.target import target
from layerkit.wheel import Wheel

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store


def test_it_is_a_wheel_like_any_and_the_same_each_time(store: Store) -> None:
    package = loader(OverLimit(mode="bundle"), "backports-zstd", PY312, "versioned", store)
    wheel = Wheel.open(store.path("wheels", package.wheel.sha256, ".whl"), package.wheel.filename)
    assert (wheel.name, wheel.version) == (NAME, package.version)
    assert [one.name for one in package.requires] == ["backports-zstd"]
    assert loader(OverLimit(mode="bundle"), "backports-zstd", PY312, "versioned", store) == package


@pytest.mark.parametrize("layout", ["versioned", "flat"])
def test_the_wrapper_knows_where_the_loader_is(store: Store, layout: str) -> None:
    package = loader(OverLimit(mode="bundle"), None, target("py39"), layout, store)  # type: ignore[arg-type]
    wheel = store.path("wheels", package.wheel.sha256, ".whl").read_bytes()
    assert wheel.count(b"layerkit-start") == 2
    assert package.requires == ()


def test_what_lies_in_a_layer(tmp_path: Path, store: Store) -> None:
    said = OverLimit(mode="bundle", lazy=True, remote="s3://bucket/prefix")
    site = lay(tmp_path / "opt", [loader_of(store, said)[1]])
    settings = json.loads((site / "layerkit_frames" / "settings.json").read_text())
    assert settings == {"lazy": True, "remote": "s3://bucket/prefix"}
    assert (site / "layerkit_loader.pth").read_text() == "import layerkit_loader\n"
    wrapper = tmp_path / "opt" / "bin" / "layerkit-start"
    assert wrapper.stat().st_mode & 0o777 == 0o755
    assert f'site="${{0%/bin/layerkit-start}}/{SITE}"' in wrapper.read_text()
    assert not (site / "unzip_requirements.py").exists()


def test_for_nested_zips_nothing_starts_by_itself(tmp_path: Path, store: Store) -> None:
    site = lay(tmp_path / "opt", [loader_of(store, OverLimit(mode="nested-zip"))[1]])
    assert (site / "unzip_requirements.py").exists()
    assert not (site / "layerkit_loader.pth").exists()
    assert not (tmp_path / "opt" / "bin").exists()
