from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from layerkit.layer.standing import build_key, current, remember

if TYPE_CHECKING:
    from pathlib import Path

KEY = build_key("lock", "config")


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in ("m.json", "a.zip", "b.zip"):
        (folder / name).write_text(name)
    state = tmp_path / ".layerkit" / "state.json"
    remember(state, KEY, sorted(folder.iterdir()))
    return folder / "m.json", state


def test_build_stands_until_something_changes(built: tuple[Path, Path]) -> None:
    assert current(*built, KEY)
    assert current(*built, KEY)


def test_other_key(built: tuple[Path, Path]) -> None:
    assert not current(*built, build_key("lock", "other"))


def test_key_depends_on_every_part_and_on_their_order() -> None:
    keys = {build_key(*parts) for parts in [(), ("a",), ("a", "b"), ("b", "a"), ("ab",), ("a", "b", "")]}
    assert len(keys) == 6


def test_key_depends_on_the_version_of_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.layer.standing.__version__", "99")
    assert build_key("lock", "config") != KEY


@pytest.mark.parametrize("name", ["m.json", "a.zip"])
def test_file_that_is_gone_touched_or_replaced(built: tuple[Path, Path], name: str) -> None:
    manifest, state = built
    path = manifest.parent / name
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not current(manifest, state, KEY)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert current(manifest, state, KEY)
    path.with_name("copy").write_text(name)
    os.utime(path.with_name("copy"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_name("copy").replace(path)
    assert not current(manifest, state, KEY), "the same name, size and time, and another inode"
    path.unlink()
    assert not current(manifest, state, KEY)


def test_file_that_grew(built: tuple[Path, Path]) -> None:
    path = built[0].parent / "a.zip"
    status = path.stat()
    path.write_text("larger than before")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not current(*built, KEY)


def test_manifest_of_another_build(built: tuple[Path, Path]) -> None:
    assert not current(built[0].with_name("other.json"), built[1], KEY)


def test_project_may_be_moved(built: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    for name in ("dist", ".layerkit"):
        (tmp_path / name).rename(tmp_path / "away" / name)
    assert current(tmp_path / "away/dist/m.json", tmp_path / "away/.layerkit/state.json", KEY)
    assert not current(*built, KEY)


def test_paths_may_be_relative_and_lead_through_links(
    built: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "deep")
    from pathlib import Path as Real

    through = Real("er/link/dist/m.json")
    assert current(through, Real("../.layerkit/state.json"), KEY)
    remember(Real("er/link/.layerkit/two.json"), KEY, [through])
    assert current(built[0], tmp_path / ".layerkit" / "two.json", KEY)


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        {"format": 99},
        {"files": None},
        {"files": [[]]},
        {"files": [[1, 2, 3, 4]]},
        {"files": [["../dist/m.json"]]},
        {"files": []},
    ],
)
def test_state_that_cannot_be_read_means_building_again(
    built: tuple[Path, Path], change: bytes | dict[str, object]
) -> None:
    manifest, state = built
    whole = json.loads(state.read_text())
    state.write_bytes(change if isinstance(change, bytes) else json.dumps(whole | change).encode())
    assert not current(manifest, state, KEY)
    state.write_text(json.dumps(whole))
    assert current(manifest, state, KEY)


def test_no_state(built: tuple[Path, Path]) -> None:
    built[1].unlink()
    assert not current(*built, KEY)


def test_file_that_vanished_before_it_could_be_remembered(built: tuple[Path, Path]) -> None:
    manifest, state = built
    remember(state, KEY, [manifest, manifest.with_name("gone.zip")])
    assert not current(manifest, state, KEY)


def test_nothing_absolute_is_remembered(built: tuple[Path, Path], tmp_path: Path) -> None:
    assert str(tmp_path) not in built[1].read_text()
