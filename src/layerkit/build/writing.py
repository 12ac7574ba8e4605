"""Zips and manifest of a target, written: composed here, by workers, or taken from the shared store."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.build.mending import mending, mends_of_opts, mends_of_wheels
from layerkit.preparation import means, prepare_wheels
from layerkit.shared import SharedStore
from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from layerkit.build.planned import Planned
    from layerkit.check.findings import Report
    from layerkit.cluster import Cluster
    from layerkit.layer.finished import Wanted
    from layerkit.layer.function_code import CodeZip, FunctionCode
    from layerkit.layer.manifest import Manifest
    from layerkit.layer.zips import BuiltLayer
    from layerkit.session import Session


def write(session: Session, plan: Planned, report: Report, path: Path) -> Manifest:
    """Write the zips and, when all are in place, the manifest; take away what the last one alone had."""
    from layerkit.layer import manifest as manifests
    from layerkit.layer.describe import describe
    from layerkit.output import remove

    folder, prefix = path.parent, path.stem
    before = manifests.files_of(path)
    layers = _compose(session, plan, folder, prefix)
    code = _write_code(plan.code, folder, prefix)
    _copy_remote(session, plan, folder)
    used = means(session, plan.lock.target)
    notes = [*used.notes, *(f"{finding.where}: {finding.text}" for finding in report.findings)]
    manifest = describe(
        session.project,
        plan.lock,
        plan.plan,
        plan.prepared,
        layers,
        code,
        settings=used.settings,
        notes=notes,
        opts=plan.opts,
    )
    manifests.write(manifest, path)
    for name in sorted(before.difference(manifest.files())):
        remove(folder / name)
    return manifest


def _copy_remote(session: Session, plan: Planned, folder: Path) -> None:
    """Copy the frames that no layer holds out of the store, for somebody to upload."""
    held = {name for layer in plan.plan.layers for name in layer.packages}
    files = [file for name in sorted(held) for file in plan.prepared[name].remote]
    if not files:
        return
    from shutil import copyfile

    from layerkit.output import draft
    from layerkit.overlimit.framing import KIND, SUFFIX

    for file, sha256, _ in files:
        with draft(folder / file) as path:
            copyfile(session.store.path(KIND, sha256, SUFFIX), path)


def _compose(session: Session, plan: Planned, folder: Path, prefix: str) -> tuple[BuiltLayer, ...]:
    """Have the layers' zips in the folder: taken where other machines composed them, else composed."""
    store = session.store
    if not isinstance(store, SharedStore):
        return _compose_here(session, plan, folder, prefix)
    from layerkit.layer import finished
    from layerkit.layer.zips import zip_path

    wanted = [
        finished.Wanted(
            name=layer.name,
            key=finished.layer_key(
                layer, plan.prepared, session.project.collisions, plan.opts.get(layer.name)
            ),
            path=zip_path(folder, prefix, layer),
            packages=tuple(sorted(layer.packages)),
        )
        for layer in plan.plan.layers
        if not layer.empty
    ]
    away = {layer.name for layer in plan.plan.layers if finished.worth_taking(layer, plan.prepared)}
    lacking = [one for one in wanted if one.name in away]
    taken = finished.take(store, lacking)
    lacking = [one for one in lacking if one.name not in taken]
    if session.cluster and lacking:
        _compose_away(session, session.cluster, plan, lacking)
        taken |= finished.take(store, lacking)
    elif taken:
        many = f"{len(taken)} {plural(len(taken), 'layer')}"
        session.talk(f"{plan.lock.target.key}: {many} taken from the shared store")
    composed = _compose_here(session, _made_whole(session, plan, taken), folder, prefix, taken)
    keys = {one.name: one.key for one in wanted}
    finished.offer(store, [(keys[one.name], one) for one in composed if one.name not in taken])
    return composed


def _compose_away(session: Session, cluster: Cluster, plan: Planned, wanted: Sequence[Wanted]) -> None:
    """Have the workers of a cluster compose layers; one that they lack something for is composed here."""
    from layerkit.orders import LayerOrder, compose_layer

    many = f"{len(wanted)} {plural(len(wanted), 'layer')}"
    session.talk(f"{plan.lock.target.key}: composing {many}")
    orders = [
        LayerOrder(
            name=one.name,
            key=one.key,
            packages=tuple((name, plan.prepared[name].key) for name in one.packages),
            collisions=tuple(sorted(session.project.collisions.items())),
            opt=plan.opts[one.name].key if one.name in plan.opts else None,
        )
        for one in wanted
    ]
    cluster.do(compose_layer, orders, session.talk)


def _made_whole(session: Session, plan: Planned, taken: Collection[str]) -> Planned:
    """Bring, or prepare, the wheels of which only tails are here, where layers have to be composed."""
    names = {name for layer in plan.plan.layers if layer.name not in taken for name in layer.packages}
    wanted = [one for one in plan.lock.packages if one.name in names and not plan.prepared[one.name].whole]
    if not wanted:
        return plan
    brought = prepare_wheels(session, plan.lock.target, wanted)
    return replace(plan, prepared={**plan.prepared, **brought})


def _compose_here(
    session: Session,
    plan: Planned,
    folder: Path,
    prefix: str,
    done: Mapping[str, BuiltLayer] = MappingProxyType({}),
) -> tuple[BuiltLayer, ...]:
    """Write the layers' zips but those done; a run that rotted in the store is made anew, each once."""
    from layerkit.layer.zips import compose_layers

    def again(name: str) -> None:
        if plan.again and plan.prepared[name].unpacked:
            plan.again()
        else:
            packages = [one for one in plan.lock.packages if one.name == name]
            prepare_wheels(session, plan.lock.target, packages)

    collisions = session.project.collisions
    opts = {name: opt.path for name, opt in plan.opts.items()}
    mends = mends_of_wheels(session, plan.prepared, again)
    mends |= mends_of_opts(session, plan.lock.target, plan.opts)
    return mending(
        mends, lambda: compose_layers(plan.plan, plan.prepared, folder, prefix, collisions, opts, done)
    )


def _write_code(code: Sequence[FunctionCode], folder: Path, prefix: str) -> tuple[CodeZip, ...]:
    """Write the zips of the functions' own code."""
    if not code:
        return ()
    from layerkit.layer.function_code import write_code

    return tuple(write_code(one, folder, prefix) for one in code)
