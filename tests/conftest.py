"""What many tests share: a store of their own, an index on the loopback, a quiet environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.store import Store
from loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UV_SETTINGS = ("UV_INDEX", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give an empty store, which is also the one that the commands use."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Give the folder whose wheels the index serves."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def index(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve the wheels as the only index there is, to uv and to layerkit."""
    for name in _UV_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with Loopback(wheels) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.simple)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield server
