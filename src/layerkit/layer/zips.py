"""From a plan to layer zips: prepared wheels, in the order of their names, copied one after the other."""

from __future__ import annotations

from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import Run, compose
from layerkit.cores import cores
from layerkit.layer.collisions import decide
from layerkit.output import draft, remove, sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerkit.plan import Plan, PlannedLayer
    from layerkit.prepare import PreparedWheel


# What stands for the files of a Dockerfile where packages of a layer are named.
DOCKERFILE = "dockerfile"


class BuiltLayer(Struct, frozen=True, kw_only=True):
    """A layer's zip as it lies on disk; sizes are in bytes, sha256 is hex, packages in name order."""

    name: str
    path: Path
    size: int
    unzipped: int
    entries: int
    sha256: str
    packages: tuple[str, ...]


class _Job(Struct, frozen=True, kw_only=True):
    """A layer that is ready to be written: its runs, and what to leave out of each by its index."""

    name: str
    path: Path
    packages: tuple[str, ...]
    runs: tuple[Run, ...]
    skip: Mapping[int, frozenset[str]]


def compose_layers(  # noqa: PLR0917 - all that layers are made of
    plan: Plan,
    prepared: Mapping[str, PreparedWheel],
    folder: Path,
    prefix: str,
    collisions: Mapping[str, str],
    opts: Mapping[str, Path] | None = None,
    done: Mapping[str, BuiltLayer] = MappingProxyType({}),
) -> tuple[BuiltLayer, ...]:
    """Write `<prefix>-<layer>.zip` into `folder` for every layer of the plan that holds anything.

    Layers that are `done` lie there already; they are among the results.

    An empty layer has no zip: it is not among the results, and a zip of its name that an earlier
    build left is removed. `prepared` is by canonical package name, `opts` are the runs of what
    Dockerfiles left, by layer; in collisions they go by the name of DOCKERFILE. Several layers are written
    at once. Raises WheelError for collisions and damaged runs, ConfigError for an entry of
    `collisions` that names the wrong package, StorageError where the folder cannot be written.
    """
    sweep(folder)
    opts = opts or {}
    jobs = [
        _job(
            layer.name,
            {name: prepared[name] for name in sorted(layer.packages)},
            zip_path(folder, prefix, layer),
            collisions,
            opts.get(layer.name),
        )
        for layer in plan.layers
        if not layer.empty and layer.name not in done
    ]
    for layer in plan.layers:
        if layer.empty:
            remove(zip_path(folder, prefix, layer))
    built = {**done, **_write_all(jobs)}
    return tuple(built[layer.name] for layer in plan.layers if not layer.empty)


def zip_path(folder: Path, prefix: str, layer: PlannedLayer) -> Path:
    """Return where the zip of a layer belongs."""
    return folder / f"{prefix}-{layer.name}.zip"


def compose_layer(
    name: str,
    wheels: Mapping[str, PreparedWheel],
    path: Path,
    collisions: Mapping[str, str],
    opt: Path | None = None,
) -> BuiltLayer:
    """Write one layer of wheels, by package, to `path`. Raises what `compose_layers` raises."""
    return _write(_job(name, wheels, path, collisions, opt))


def _job(
    name: str,
    wheels: Mapping[str, PreparedWheel],
    path: Path,
    collisions: Mapping[str, str],
    opt: Path | None,
) -> _Job:
    """Open the runs of a layer and decide every collision in it."""
    packages = tuple(sorted(wheels))
    paths = [*(wheels[package].path for package in packages), *([opt] if opt else [])]
    runs = tuple(map(Run.open, paths))
    return _Job(
        name=name,
        path=path,
        packages=packages,
        runs=runs,
        skip=decide(name, (*packages, DOCKERFILE)[: len(runs)], runs, collisions),
    )


def _write_all(jobs: Sequence[_Job]) -> dict[str, BuiltLayer]:
    """Write the layers, in as many threads as there are processors; raise the first error there was.

    Copying and hashing let other threads run. Each zip is put in place as soon as it is whole.
    """
    results: dict[str, BuiltLayer] = {}
    errors: list[BaseException] = []
    waiting = list(reversed(jobs))

    def work() -> None:
        try:
            while not errors:
                job = waiting.pop()
                results[job.name] = _write(job)
        except IndexError:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            errors.append(error)

    threads = [Thread(target=work) for _ in range(min(len(jobs), cores()) - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _write(job: _Job) -> BuiltLayer:
    """Write one layer."""
    with draft(job.path) as name:
        composed = compose(name, job.runs, skip=job.skip)
    return BuiltLayer(
        name=job.name,
        path=job.path,
        size=composed.size,
        unzipped=composed.unzipped,
        entries=composed.entries,
        sha256=composed.sha256,
        packages=job.packages,
    )
