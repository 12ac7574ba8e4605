"""A prepared wheel with its large files in frames."""

from __future__ import annotations

import hashlib
import json
from shutil import copyfile
from typing import TYPE_CHECKING

from layerkit.overlimit import places
from layerkit.overlimit.codec import FRAME, level
from layerkit.overlimit.frames import write_frames
from layerkit.overlimit.remaking import Added, Change, remade, room, taken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerkit.archive import Archive, Member
    from layerkit.overlimit.codec import Codec
    from layerkit.overlimit.frames import Blob
    from layerkit.overlimit.remaking import Source
    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

FORMAT = 1  # of the index, which the loader knows too
KIND = "frames"  # those in the store that no layer holds
SUFFIX = ".frames"
_ELF = b"\x7fELF"


def framed(
    wheel: PreparedWheel,
    names: frozenset[str],
    remote: frozenset[str],
    codec: Codec,
    site: str,
    store: Store,
) -> PreparedWheel:
    """Return the wheel with the files `names`, relative to `site`, in frames.

    The frames of those that are `remote` too become a file of the store and no member. Raises
    WheelError where the wheel is damaged.
    """

    def make(source: Source) -> Change:
        change = Change(moved=names.union(programs(source.archive, source.inside)))
        for files in (change.moved - remote, names & remote):
            if files:
                _frame(source, change, sorted(files), codec, store if files <= remote else None)
        return change

    how = ["framed", FRAME, codec, level(codec), sorted(names), sorted(remote)]
    return remade(how, wheel, site, store, make)


def programs(archive: Archive, inside: Mapping[str, Member]) -> Iterator[str]:
    """Yield the programs among the files: the system resolves links before it looks for `$ORIGIN`.

    Linked to, they would look for their libraries in /opt.
    """
    for name, member in inside.items():
        if member.executable and not places.is_library(name):
            start = next(iter(archive.chunks(member)), b"")
            if start.startswith(_ELF):
                yield name


def _frame(source: Source, change: Change, names: list[str], codec: Codec, store: Store | None) -> None:
    """Put files into frames with an index; with a store, the frames go there."""
    package = source.wheel.name
    path = source.folder / ("here" if store is None else "there")
    blob = write_frames(path, source.archive, (source.inside[name] for name in names), codec)
    file = f"{package}-{blob.sha256[:16]}{SUFFIX}"
    there = store is not None
    index = index_of(package, source.inside, change.moved, names, blob, file=file, codec=codec, remote=there)
    change.unpacked += json.loads(index)["room"]
    digest = hashlib.sha256(index)
    own = f"{places.FOLDER}/{package}-{digest.hexdigest()[:16]}.json"
    change.added.append(Added(name=own, size=len(index), digest=digest.digest(), data=index))
    if store is None:
        change.added.append(taken(source, f"{places.FOLDER}/{file}", path, blob.sha256, blob.crc))
        return
    change.remote.append((file, blob.sha256, blob.size))
    with store.publish(KIND, blob.sha256, SUFFIX) as kept:
        copyfile(path, kept)


def index_of(
    package: str,
    inside: Mapping[str, Member],
    moved: frozenset[str],
    names: list[str],
    blob: Blob,
    *,
    file: str,
    codec: Codec,
    remote: bool,
) -> bytes:
    """Return what the loader reads of a package: see layerkit_loader/frames.py.

    `inside` are its files below the folder of the modules, `moved` those of them that are in frames, and
    `names` those in this blob, which lies in `file`.
    """
    folders = places.mirrored(inside, moved)
    links = places.links(inside, moved, folders)
    rows = [(name, inside[name].size, inside[name].executable) for name in names]
    index = {
        "format": FORMAT,
        "package": package,
        "modules": places.importable(inside),
        "folders": folders,
        "files": rows,
        "room": room((size for _, size, _ in rows), 2 * len(folders) + links),  # with __pycache__ in each
        "codec": codec,
        "frame": FRAME,
        "frames": blob.frames,
        "blob": file,
        "remote": remote,
    }
    return json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
