"""Prepared wheels: each wheel made ready for layers once, kept in the store, and only copied from there.

A prepared wheel is a run file (see `archive`), found by the digest of all that decides its bytes.
Finding it again is on the path of every build, so nothing heavy is imported before one must be made.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.archive import Run
from layerkit.errors import StorageError, WheelError
from layerkit.project.requirement import canonical
from layerkit.settings import Settings
from layerkit.shared import SharedStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from layerkit.recipe import Outcome
    from layerkit.store import Store
    from layerkit.target import Target
    from layerkit.wheel import Wheel
    from layerkit.workshop import Workshop

# Stands for what `recipe` does to a wheel: another number, another key, and all is prepared anew.
RECIPE = 9
AS_IT_IS = Settings()
KIND = "prepared"
SUFFIX = ".run"
# The end of a run, which is all that planning reads: in a store that machines share it travels alone.
TAILS = "tails"
TAIL = ".tail"


class Amount(Struct, frozen=True, kw_only=True):
    """How many files something happened to, and the bytes that it was about, unzipped."""

    count: int
    bytes: int


class PreparedWheel(Struct, frozen=True, kw_only=True):
    """A wheel, ready to be copied into layers of one target.

    `zipped` is what it adds to a zip in bytes, without its part of the central directory; `unzipped`
    what Lambda counts. `modules` are the top-level names that can be imported from it. `notes` are
    sentences about what is odd in the wheel.

    `dropped` is what was left out, by reason; `stripped` what stripping took away, `unstripped` path -> why a
    file could not be; `bytecode` what bytecode brought, `skipped` how many modules no compiler takes.
    `unpacked` bytes of it go to /tmp when a function starts;
    `remote` are the frames of these that no layer holds, as (file, sha256, size): see `overlimit`.
    Where it is not `whole`, `path` is its tail: all is known of it, and it cannot be copied.
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
    dropped: Mapping[str, Amount]
    notes: tuple[str, ...]
    stripped: Amount
    unstripped: Mapping[str, str]
    bytecode: Amount
    skipped: int
    unpacked: int = 0
    remote: tuple[tuple[str, str, int], ...] = ()
    whole: bool = True

    def run(self) -> Run:
        """Read its tail. Raises WheelError where it is damaged."""
        return Run.open(self.path, whole=self.whole)

    @property
    def compiled(self) -> int:
        """Return how many of the unzipped bytes are bytecode."""
        return self.bytecode.bytes


def key(wheel_sha256: str, target: Target, package: str, settings: Settings) -> str:
    """Return the key of a prepared wheel, in hex: the digest of all that decides its bytes.

    `package` is the canonical name of what the wheel holds.
    """
    parts = [RECIPE, wheel_sha256, target.key, target.interpreter, settings.decisive(package)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def load(store: Store, key: str) -> PreparedWheel | None:
    """Return a prepared wheel from the store; None if it is not there, or not whole.

    Only the end of its file is read. Raises StorageError where the store cannot be read.
    """
    path = store.find(KIND, key, SUFFIX)
    return _read(path, key, whole=True) if path else None


def load_all(store: Store, keys: Collection[str], *, whole: bool = True) -> dict[str, PreparedWheel]:
    """Return those that the store has, by key; of what other machines prepared the tails, unless `whole`."""
    found = _tails(store, keys) if isinstance(store, SharedStore) and not whole else {}
    rest = [key for key in keys if key not in found]
    store.bring(KIND, rest, SUFFIX)
    here = {key: ready for key in rest if (ready := load(store, key))}
    if isinstance(store, SharedStore):
        _share(store, here.values())
    return found | here


def _tails(store: Store, keys: Iterable[str]) -> dict[str, PreparedWheel]:
    """Return what is known of prepared wheels that are not in this machine's folder."""
    away = [key for key in keys if not store.has(KIND, key, SUFFIX)]
    store.bring(TAILS, away, TAIL)
    paths = {key: store.find(TAILS, key, TAIL) for key in away}
    read = {key: _read(path, key, whole=False) for key, path in paths.items() if path}
    return {key: ready for key, ready in read.items() if ready}


def _read(path: Path, key: str, *, whole: bool) -> PreparedWheel | None:
    """Return what a run, or its tail alone, says of a prepared wheel; None where it is damaged."""
    try:
        run = Run.open(path, whole=whole)
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
            dropped={why: Amount(count=n, bytes=size) for why, (n, size) in info["dropped"].items()},
            notes=tuple(info["notes"]),
            stripped=Amount(count=info["stripped"][0], bytes=info["stripped"][1]),
            unstripped=info["unstripped"],
            bytecode=Amount(count=info["bytecode"][0], bytes=info["bytecode"][1]),
            skipped=info["skipped"],
            unpacked=info.get("unpacked", 0),
            remote=tuple((file, sha256, size) for file, sha256, size in info.get("remote", ())),
            whole=whole,
        )
    except (WheelError, ValueError, KeyError, TypeError):
        return None  # damaged: as good as none, and replaced by the next one to be prepared


def prepare(
    wheel_path: Path,
    filename: str,
    sha256: str,
    target: Target,
    store: Store,
    settings: Settings = AS_IT_IS,
    *,
    workshop: Workshop | None = None,
) -> PreparedWheel:
    """Return the prepared wheel of the file `wheel_path`, made now if the store does not have it.

    `filename` is the name the wheel goes by, `sha256` (hex) what its bytes must have, `workshop` where the
    work is done (by default one of a single thread, without a compiler). Whoever else wants the same one
    meanwhile, in any thread or process, waits and shares it. Raises WheelError for a wheel that is refused,
    StorageError where the store cannot be used, ConfigError for rules that the wheel has no answer to.
    """
    own_key = key(sha256, target, canonical(filename.partition("-")[0]), settings)
    if ready := load(store, own_key):
        return ready
    with store.lock(KIND, own_key):
        if ready := load(store, own_key):
            return ready
        with store.publish(KIND, own_key, SUFFIX) as path, ExitStack() as stack:
            if workshop is None:
                from layerkit.workshop import Workshop

                workshop = stack.enter_context(Workshop(threads=1))
            _make(path, wheel_path, filename, sha256, target, settings, workshop=workshop)
        share_tail(store, own_key)
        if ready := load(store, own_key):
            return ready
    raise StorageError(
        "a prepared wheel was gone or damaged right after it was written",
        where=str(store.path(KIND, own_key, SUFFIX)),
        fix="Is another process removing files there, or is the disk failing?",
    )


def _share(store: SharedStore, here: Iterable[PreparedWheel]) -> None:
    """Send what was prepared before there was a shared store: a tail beside it says that it was offered."""
    for wheel in here:
        if store.sends and not store.has(TAILS, wheel.key, TAIL):
            store.offer(KIND, wheel.key, SUFFIX, wheel.path)
            share_tail(store, wheel.key)


def share_tail(store: Store, key: str) -> None:
    """Have other machines read the end of a run without the rest."""
    if isinstance(store, SharedStore) and store.sends:
        with store.publish(TAILS, key, TAIL) as path:
            path.write_bytes(Run.open(store.path(KIND, key, SUFFIX)).tail())


def _make(
    path: Path,
    wheel_path: Path,
    filename: str,
    sha256: str,
    target: Target,
    settings: Settings,
    *,
    workshop: Workshop,
) -> None:
    """Read and verify the wheel, and write what is prepared of it to `path`."""
    from layerkit.archive import Archive, write_run
    from layerkit.archive.spool import Spool
    from layerkit.recipe import apply
    from layerkit.wheel import Wheel

    with Archive.open(wheel_path, name=filename) as archive, Spool(path.parent) as spool:
        wheel = Wheel.read(archive, sha256)
        outcome = apply(wheel, archive, target, settings, workshop, spool)
        info = _info(wheel, outcome, target.site_packages(settings.layout))
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
        "stripped": outcome.stripped,
        "unstripped": outcome.unstripped,
        "bytecode": outcome.bytecode,
        "skipped": outcome.skipped,
    }
