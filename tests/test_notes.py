from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.container import notes
from layerkit.errors import WheelError
from layerkit.lock import WheelRef

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store

KEY = "a" * 64
HOW = {"image": "image:1", "digest": "sha256:i", "system": ("libyaml-dev",), "tools": ("setuptools==80",)}
SDIST = WheelRef(filename="demo-1.0.tar.gz", sha256="b" * 64)


def test_what_was_built_is_found_by_the_key_of_the_build(store: Store, tmp_path: Path) -> None:
    assert notes.find(store, KEY) is None
    made = make_wheel(tmp_path, requires=["idna"], extras=["more"])
    note = notes.keep(store, KEY, made.path, **HOW)
    assert notes.find(store, KEY) == note
    assert (note.filename, note.sha256, note.size) == (made.filename, made.sha256, made.size)
    built = note.described(store, SDIST)
    assert built.wheel == WheelRef(filename=made.filename, sha256=made.sha256, size=made.size)
    assert (built.source.sdist, built.source.digest, built.source.tools) == (
        SDIST,
        "sha256:i",
        ("setuptools==80",),
    )
    assert (built.requires, built.extras) == (("idna",), ("more",))


def test_a_note_whose_wheel_is_gone_or_damaged_is_none(store: Store, tmp_path: Path) -> None:
    made = make_wheel(tmp_path)
    notes.keep(store, KEY, made.path, **HOW)
    store.path("wheels", made.sha256, ".whl").write_bytes(b"short")
    assert notes.find(store, KEY) is None
    store.evict("wheels", made.sha256, ".whl")
    assert notes.find(store, KEY) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"filename": 1}', "not json"])
def test_a_note_of_another_version_is_none(text: str, store: Store) -> None:
    with store.publish(notes.KIND, KEY, notes.SUFFIX) as temporary:
        temporary.write_text(text)
    assert notes.find(store, KEY) is None


def test_what_is_no_proper_wheel_is_not_kept(store: Store, tmp_path: Path) -> None:
    made = make_wheel(tmp_path, without=["METADATA"])
    with pytest.raises(WheelError):
        notes.keep(store, KEY, made.path, **HOW)
    assert notes.find(store, KEY) is None
