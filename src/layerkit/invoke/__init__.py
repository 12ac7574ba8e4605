"""Functions run on this machine as Lambda would run them, with their layers and without Docker.

    job = Job(function=..., layers=..., code=...)
    outcomes = run(job, [b'{"a": 1}'], room.choose(), store, hear)

The layers are unpacked in order, the real awslambdaric calls the handler, and a Runtime API on the
loopback hands it events. `room` says what keeps the function in; `emulator` is the way by Docker.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.invoke.function import Folders
from layerkit.invoke.invoker import Invoker
from layerkit.invoke.layout import check_size, key, lay_code, lay_layers
from layerkit.invoke.runtime import install, interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerkit.invoke.function import Function, Outcome
    from layerkit.invoke.room import Room
    from layerkit.project.specs import FunctionSpec
    from layerkit.store import Store

__all__ = ["Job", "run"]


class Job(Struct, frozen=True, kw_only=True):
    """What is to be run: the function, the zips of its layers, the lowest first, and its code.

    `apart` are folders that never belong to the code.
    """

    function: Function
    layers: Sequence[Path]
    code: FunctionSpec
    apart: Sequence[Path] = ()


def run(
    job: Job,
    events: Iterable[bytes],
    room: Room,
    store: Store,
    hear: Callable[[bytes], None],
    *,
    offline: bool = False,
) -> list[Outcome]:
    """Send events to one environment, and return what came of each.

    `hear` is given the log as it comes. Raises LayerkitError for what keeps the function from being
    started at all; what goes wrong in it is an outcome.
    """
    target = job.function.target
    python = interpreter(target, store, offline=offline)
    with tempfile.TemporaryDirectory(prefix="layerkit-invoke-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        task = scratch / "task"
        task.mkdir()
        lay_code(job.code, task, job.apart)
        opt = _opt(job.layers, room, store, scratch)
        check_size(opt, task)
        runtime, packages = install(target, python, store, offline=offline)
        folders = Folders(opt=opt, task=task, runtime=runtime, packages=packages, python=python)
        with Invoker(job.function, folders, room, scratch, hear) as invoker:
            return [invoker.invoke(event) for event in events]


def _opt(layers: Sequence[Path], room: Room, store: Store, scratch: Path) -> Path:
    """Return the folder of the unpacked layers: the store's, or one that the function may spoil."""
    if room.kind == "none":
        opt = scratch / "opt"
        opt.mkdir()
        lay_layers(layers, opt)
        return opt
    with store.unpacked(key(layers)) as (opt, fresh):
        if fresh:
            lay_layers(layers, fresh)
    return opt
