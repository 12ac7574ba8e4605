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
    from collections.abc import Iterator

    from layerkit.overlimit.codec import Codec
    from layerkit.overlimit.frames import Blob
    from layerkit.overlimit.remaking import Source
    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

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
        change = Change(moved=names.union(_programs(source)))
        for files in (change.moved - remote, names & remote):
            if files:
                _frame(source, change, sorted(files), codec, store if files <= remote else None)
        return change

    how = ["framed", FRAME, codec, level(codec), sorted(names), sorted(remote)]
    return remade(how, wheel, site, store, make)


def _programs(source: Source) -> Iterator[str]:
    """Yield the programs among the files: the system resolves links before it looks for `$ORIGIN`.

    Linked to, they would look for their libraries in /opt.
    """
    for name, member in source.inside.items():
        if member.executable and not places.is_library(name):
            start = next(iter(source.archive.chunks(member)), b"")
            if start.startswith(_ELF):
                yield name


def _frame(source: Source, change: Change, names: list[str], codec: Codec, store: Store | None) -> None:
    """Put files into frames with an index; with a store, the frames go there."""
    package = source.wheel.name
    path = source.folder / ("here" if store is None else "there")
    blob = write_frames(path, source.archive, (source.inside[name] for name in names), codec)
    file = f"{package}-{blob.sha256[:16]}{SUFFIX}"
    index = _index(source, change, names, blob, file, codec, remote=store is not None)
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


def _index(
    source: Source, change: Change, names: list[str], blob: Blob, file: str, codec: Codec, *, remote: bool
) -> bytes:
    """Return what the loader reads of a package: see layerkit_loader/frames.py."""
    folders = places.mirrored(source.inside, change.moved)
    links = places.links(source.inside, change.moved, folders)
    rows = [(name, source.inside[name].size, source.inside[name].executable) for name in names]
    index = {
        "package": source.wheel.name,
        "modules": places.importable(source.inside),
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
