"""What was built, in the store: a note by the key of the build, naming the wheel and how it came to be."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from msgspec import Struct, convert, to_builtins

from layerkit.lock import Source, WheelRef
from layerkit.lock.sources import BuiltWheel
from layerkit.wheel import Wheel

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store

KIND, SUFFIX = "built", ".json"


class Note(Struct, frozen=True, kw_only=True):
    """A wheel of the store, and what it was built in and with; `image` is a name, `digest` its content."""

    filename: str
    sha256: str
    size: int
    image: str
    digest: str
    system: tuple[str, ...]
    tools: tuple[str, ...]

    def described(self, store: Store, sdist: WheelRef) -> BuiltWheel:
        """Return the wheel with what its METADATA says, as built from a source archive."""
        wheel = Wheel.open(store.path("wheels", self.sha256, ".whl"), self.filename, self.sha256)
        return BuiltWheel(
            wheel=WheelRef(filename=self.filename, sha256=self.sha256, size=self.size),
            source=Source(
                sdist=sdist, image=self.image, digest=self.digest, system=self.system, tools=self.tools
            ),
            requires=wheel.metadata.requires,
            extras=wheel.metadata.provides_extras,
            requires_python=wheel.metadata.requires_python,
        )


def find(store: Store, key: str) -> Note | None:
    """Return the note of a build whose wheel is still in the store."""
    path = store.find(KIND, key, SUFFIX)
    if path is None:
        return None
    try:
        note = convert(json.loads(path.read_text(encoding="utf-8")), Note)
    except ValueError:
        return None  # another version's; what is built now takes its place
    return note if store.find("wheels", note.sha256, ".whl", size=note.size) else None


def keep(store: Store, key: str, wheel: Path, **how: Any) -> Note:
    """Put a wheel that was built into the store, after reading it strictly, and note it."""
    digest = Wheel.open(wheel, wheel.name).sha256
    with store.publish("wheels", digest, ".whl") as temporary:
        shutil.copyfile(wheel, temporary)
    note = Note(filename=wheel.name, sha256=digest, size=wheel.stat().st_size, **how)
    with store.publish(KIND, key, SUFFIX) as temporary:
        temporary.write_text(json.dumps(to_builtins(note)), encoding="utf-8")
    return note
