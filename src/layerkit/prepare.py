"""Prepared wheels: each wheel made ready for layers once, kept in the store, and only copied from there.

A prepared wheel is a run file (see `archive`), found by the digest of all that decides its bytes.
Finding it again is on the path of every build, so nothing heavy is imported before one must be made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerkit.archive import Run
from layerkit.errors import StorageError, WheelError
from layerkit.project.requirement import canonical
from layerkit.slim import Rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerkit.recipe import Outcome
    from layerkit.store import Store
    from layerkit.target import Layout, Target
    from layerkit.wheel import Wheel

# Stands for what `recipe` does to a wheel: another number, another key, and all is prepared anew.
RECIPE = 3
EVERYTHING = Rules()
KIND = "prepared"
SUFFIX = ".run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """How many files were left out for one reason, and the bytes they would have taken unzipped."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedWheel:
    """A wheel, ready to be copied into layers of one target.

    `zipped` is what it adds to a zip in bytes, without its part of the central directory; `unzipped`
    what Lambda counts. `modules` are the top-level names that can be imported from it. `notes` are
    sentences about what is odd in the wheel. `unpacked` bytes of it go to /tmp when a function starts;
    `remote` are the frames of these that no layer holds, as (file, sha256, size): see `overlimit`.
    """

    name: str
    version: str
    wheel_sha256: str
    key: str
    path: Path
    zipped: int
    unzipped: int
    entries: int
    recipe: int
    licence: str | None
    modules: tuple[str, ...]
    dropped: Mapping[str, Dropped]
    notes: tuple[str, ...]
    unpacked: int = 0
    remote: tuple[tuple[str, str, int], ...] = ()


def key(wheel_sha256: str, target: Target, layout: Layout, slimming: str) -> str:
    """Return the key of a prepared wheel, in hex: the digest of all that decides its bytes.

    `slimming` is what `Rules.digest` says of the package. The last part stands for the interpreter that
    compiles bytecode; there is none so far.
    """
    parts = [RECIPE, wheel_sha256, target.key, target.interpreter, layout, slimming, None]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def load(store: Store, key: str) -> PreparedWheel | None:
    """Return a prepared wheel from the store; None if it is not there, or not whole.

    Only the end of its file is read. Raises StorageError where the store cannot be read.
    """
    path = store.find(KIND, key, SUFFIX)
    if path is None:
        return None
    try:
        run = Run.open(path)
        info: dict[str, Any] = json.loads(run.info)
        return PreparedWheel(
            name=info["name"],
            version=info["version"],
            wheel_sha256=info["wheel_sha256"],
            key=key,
            path=path,
            zipped=run.zipped,
            unzipped=run.unzipped,
            entries=run.entries,
            recipe=info["recipe"],
            licence=info["licence"],
            modules=tuple(info["modules"]),
            dropped={why: Dropped(count=n, bytes=size) for why, (n, size) in info["dropped"].items()},
            notes=tuple(info["notes"]),
            unpacked=info.get("unpacked", 0),
            remote=tuple((file, sha256, size) for file, sha256, size in info.get("remote", ())),
        )
    except (WheelError, ValueError, KeyError, TypeError):
        return None  # damaged: as good as none, and replaced by the next one to be prepared


def prepare(
    wheel_path: Path,
    filename: str,
    sha256: str,
    target: Target,
    layout: Layout,
    store: Store,
    *,
    rules: Rules = EVERYTHING,
) -> PreparedWheel:
    """Return the prepared wheel of the file `wheel_path`, made now if the store does not have it.

    `filename` is the name the wheel goes by, `sha256` (hex) what its bytes must have, `rules` say what is
    left out of it. Whoever else wants the same one meanwhile, in any thread or process, waits and shares
    it. Raises WheelError for a wheel that is refused, StorageError where the store cannot be used,
    ConfigError for rules that the wheel has no answer to.
    """
    own_key = key(sha256, target, layout, rules.digest(canonical(filename.partition("-")[0])))
    if ready := load(store, own_key):
        return ready
    with store.lock(KIND, own_key):
        if ready := load(store, own_key):
            return ready
        with store.publish(KIND, own_key, SUFFIX) as path:
            _make(path, wheel_path, filename, sha256, target, layout, rules=rules)
        if ready := load(store, own_key):
            return ready
    raise StorageError(
        "a prepared wheel was gone or damaged right after it was written",
        where=str(store.path(KIND, own_key, SUFFIX)),
        fix="Is another process removing files there, or is the disk failing?",
    )


def _make(
    path: Path, wheel_path: Path, filename: str, sha256: str, target: Target, layout: Layout, *, rules: Rules
) -> None:
    """Read and verify the wheel, and write what is prepared of it to `path`."""
    from layerkit.archive import Archive, write_run
    from layerkit.recipe import apply
    from layerkit.wheel import Wheel

    with Archive.open(wheel_path, name=filename) as archive:
        wheel = Wheel.read(archive, sha256)
        outcome = apply(wheel, archive, target, layout, rules)
        info = _info(wheel, outcome, target.site_packages(layout))
        write_run(path, outcome.pieces, json.dumps(info, sort_keys=True).encode())


def _info(wheel: Wheel, outcome: Outcome, site: str) -> dict[str, object]:
    """Return what a run file says of itself, in the shape that `load` reads."""
    from layerkit.scheme import modules

    return {
        "name": wheel.name,
        "version": wheel.version,
        "wheel_sha256": wheel.sha256,
        "recipe": RECIPE,
        "licence": wheel.metadata.licence,
        "modules": modules(outcome.recorded, site),
        "dropped": outcome.dropped,
        "notes": outcome.notes,
    }
