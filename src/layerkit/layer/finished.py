"""Finished layers in the store that machines share: one object in place of all prepared wheels of a layer.

A layer's zip has a key before there is a zip: the digest of all that decides its bytes. A machine that
knows its wheels by their tails alone takes the zip that another one composed under that key.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.layer.zips import BuiltLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.dockerfiles import OptLayer
    from layerkit.plan import PlannedLayer
    from layerkit.prepare import PreparedWheel
    from layerkit.shared import SharedStore

KIND, SUFFIX = "layers", ".zip"
# Stands for how runs become a zip (`layer.collisions`, `archive.compose`): another number, other keys.
COMPOSING = 1


class Wanted(Struct, frozen=True, kw_only=True):
    """A layer that some machine may have composed: its key, packages by name, where its zip belongs."""

    name: str
    key: str
    path: Path
    packages: tuple[str, ...]


def layer_key(
    layer: PlannedLayer,
    prepared: Mapping[str, PreparedWheel],
    collisions: Mapping[str, str],
    opt: OptLayer | None = None,
) -> str:
    """Return the key of a layer's zip, in hex: the digest of all that decides its bytes.

    That are its prepared wheels in their order, the image of what a Dockerfile brings (building one twice
    need not give the same files), what the project says of collisions, and how zips are composed.
    """
    wheels = [(name, prepared[name].key) for name in sorted(layer.packages)]
    brought = (opt.key, opt.image) if opt else None
    parts = [COMPOSING, wheels, brought, sorted(collisions.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def worth_taking(layer: PlannedLayer, prepared: Mapping[str, PreparedWheel]) -> bool:
    """Say whether most bytes of a layer are on other machines alone; else the few that lack are brought."""
    wheels = [prepared[name] for name in layer.packages]
    away = sum(wheel.zipped for wheel in wheels if not wheel.whole)
    here = sum(wheel.zipped for wheel in wheels if wheel.whole)
    return away > here


def take(store: SharedStore, wanted: Sequence[Wanted]) -> dict[str, BuiltLayer]:
    """Put zips that other machines composed where they belong; return those that could be had, by name."""
    found = store.take(KIND, [(one.key, one.path) for one in wanted], SUFFIX, _amounts)
    return {one.name: _built(one, *had) for one, had in zip(wanted, found, strict=True) if had}


def offer(store: SharedStore, layers: Iterable[tuple[str, BuiltLayer]]) -> None:
    """Send zips to the other machines, in the background, each with its key."""
    for key, layer in layers:
        store.offer(KIND, key, SUFFIX, layer.path, layer.sha256)


def _amounts(path: Path) -> tuple[int, int]:
    """Return bytes unzipped and the count of files of a zip. Raises WheelError where it is none."""
    from layerkit.archive import Archive

    with Archive.open(path) as archive:
        return sum(member.size for member in archive.members), len(archive.members)


def _built(wanted: Wanted, sha256: str, amounts: tuple[int, int]) -> BuiltLayer:
    unzipped, entries = amounts
    return BuiltLayer(
        name=wanted.name,
        path=wanted.path,
        size=wanted.path.stat().st_size,
        unzipped=unzipped,
        entries=entries,
        sha256=sha256,
        packages=wanted.packages,
    )
