"""Whether a build gives the same bytes again: all but the wheels made anew elsewhere, and compared."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.build import build_again
from layerkit.errors import CheckFailedError
from layerkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.archive import Archive
    from layerkit.built import Built
    from layerkit.session import Session
    from layerkit.target import Target

# What others made and the lock holds the digests of; all else in the store is made by the build itself.
_SHARED = ("wheels", "sdists", "built", "interpreters", "opt")


def verify_target(session: Session, target: Target, built: Built) -> None:
    """Build one target again, with nothing prepared, and compare it with what was built.

    Raises CheckFailedError, which names the first file that differs, and the first member of a zip.
    """
    with TemporaryDirectory(prefix="layerkit-verify-") as name:
        store = _fresh(session.store, Path(name, "store"))
        project = replace(session.project, output=Path(name, "layers"))
        again = build_again(replace(session, project=project, store=store), target)
        for first, found in _differences(built, again):
            raise CheckFailedError(
                f"built a second time it is not the same: {found}",
                where=str(first),
                fix="please report it, with the versions of layerkit and of the package",
            )
    session.talk(f"{target.key}: verified: built a second time, every file has the same bytes")


def _differences(built: Built, again: Built) -> Iterator[tuple[Path, str]]:
    """Yield the files that differ between two builds, and how: the zips, then what lies beside them."""
    names, others = built.manifest.files(), again.manifest.files()
    if names != others:
        both = (", ".join(some) or "none" for some in (names, others))
        yield built.path, "its files are {}, and {} the second time".format(*both)
        return
    zips = {one.file for one in built.manifest.zips()}
    for name in (*names, built.path.name):
        first, second = built.path.parent / name, again.path.parent / name
        if not _same(first, second):
            yield first, _difference(first, second) if name in zips else "it has other bytes"


def _fresh(store: Store, root: Path) -> Store:
    """Return an empty store that has the wheels of another one."""
    fresh = Store(root)
    with fresh.lock("prepared", "0" * 64):  # makes the folder a store before anything else lies in it
        pass
    for kind in _SHARED:
        if (store.root / kind).is_dir():
            (root / kind).symlink_to(store.root / kind)
    return fresh


def _same(first: Path, second: Path) -> bool:
    """Say whether two files have the same bytes. Raises StorageError where one cannot be read."""
    from layerkit.wheel import file_sha256

    return file_sha256(first) == file_sha256(second)


def _difference(first: Path, second: Path) -> str:
    """Return which member differs first between two zips that are not the same."""
    from layerkit.archive import Archive

    with Archive.open(first) as one, Archive.open(second) as other:
        return _first_member(one, other)


def _first_member(one: Archive, other: Archive) -> str:
    for a, b in zip(one.members, other.members, strict=False):
        if a.name != b.name:
            return f"{a.name} stands where {b.name} did the second time"
        if (a.crc, a.size) != (b.crc, b.size):
            return f"{a.name} has other content ({a.size:,} and {b.size:,} bytes)"
        if one.raw(a) != other.raw(b) or (a.executable, a.offset) != (b.executable, b.offset):
            return f"{a.name} has the same content, stored otherwise"
    if len(one.members) != len(other.members):
        return f"it has {len(one.members)} members, and {len(other.members)} the second time"
    return "its members are the same, its directory is not"
