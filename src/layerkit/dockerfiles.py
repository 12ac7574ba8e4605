"""Layers that a Dockerfile makes: what it leaves in /opt, as a finished run in the store.

`ask` says what is to be built, as far as it can be told without building anything; `get` returns the run
of it, from the store, else built by the engine now. A run is found by the Dockerfile, its context, its
arguments, the architecture, and what the images were that it starts from. Where all of these are named by
a digest, no engine is asked at all; else it is asked which image a name means today, and where there is
no engine, the answer of the last build counts.

    opt/<question>.json   the images that the last build of a question started from
    opt/<key>.run         the files of /opt, finished members; its info says what is known of them
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct, convert
from msgspec.structs import replace

from layerkit.archive import DamagedRunError, Run
from layerkit.container import images, question
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.container.engine import Engine
    from layerkit.container.question import Bases, Question
    from layerkit.engines import Engines
    from layerkit.project import Project
    from layerkit.store import Store
    from layerkit.target import Target

KIND, SUFFIX = "opt", ".run"
LOGS = "logs"
_REMEMBERED = ".json"


class OptPackage(Struct, frozen=True, kw_only=True):
    """A Python package in /opt: the folder it lies in, and PEP 508 for what it and its extras require."""

    name: str
    version: str
    folder: str
    requires: tuple[str, ...]
    extras: tuple[str, ...]


class OptLayer(Struct, frozen=True, kw_only=True):
    """What a Dockerfile brings into a layer: a finished run, and what is known of it; sizes in bytes.

    `dockerfile` is its path in the project and `sha256` its digest, `image` the id that the engine
    gave the image it became, `bases` name and digest of images it started from.
    """

    layer: str
    path: Path
    zipped: int
    unzipped: int
    entries: int
    key: str
    dockerfile: str
    sha256: str
    image: str
    bases: Bases
    packages: tuple[OptPackage, ...]
    notes: tuple[str, ...]


def ask(project: Project, target: Target, store: Store, engines: Engines) -> tuple[Question, ...]:
    """Return what the Dockerfiles of a project's layers come to on a target; nothing is built or pulled.

    Raises ConfigError for a Dockerfile that cannot be read or lacks a stage or an argument.
    """
    asked = [
        question.ask(layer.name, layer.dockerfile, project, target)
        for layer in project.layers
        if layer.dockerfile is not None
    ]
    return tuple(_with_bases(one, target, store, engines) for one in asked)


def get(
    asked: Question,
    project: Project,
    target: Target,
    store: Store,
    engines: Engines,
    *,
    offline: bool = False,
) -> OptLayer:
    """Return what a Dockerfile brings into its layer, built now where the store does not have it.

    Raises BuildError where a step of the Dockerfile fails or leaves what no layer can hold; EngineError,
    or UsageError under the rule `wheels`, where it has to be built and there is nobody to do it.
    """
    if found := _load(asked, store):
        return found
    rooms = engines.need(target.key, f"layer {asked.layer} is made by {asked.dockerfile}")
    with store.lock(KIND, asked.digest):
        if found := _load(asked, store):
            return found
        known = _pulled(asked, project, rooms.engine, target, engines, offline=offline)
        if found := _load(known, store):
            return found
        return _make(known, project, target, store, rooms.engine, offline=offline)


def _with_bases(asked: Question, target: Target, store: Store, engines: Engines) -> Question:
    """Add what the images are today that it starts from: as the engine has them, else as they last were."""
    loose = asked.recipe.loose
    if not loose:
        return asked
    known = _remembered(asked, store)
    if rooms := engines.look():
        here = {name: images.there(rooms.engine, name, target.arch) for name in loose}
        known |= {name: image.digest for name, image in here.items() if image}
    if any(name not in known for name in loose):
        return asked
    return replace(asked, bases=tuple((name, known[name]) for name in loose))


def _pulled(
    asked: Question, project: Project, engine: Engine, target: Target, engines: Engines, *, offline: bool
) -> Question:
    """Have every image that it starts from on the engine, and add what they are."""
    from layerkit.container import build_image

    engine.sweep()
    made, here = question.made(project, target), {}
    for name in asked.recipe.images:
        if name == made:
            here[name] = build_image.ready(engine, project, target, engines.talk, offline=offline)
        else:
            here[name] = images.ready(engine, name, target.arch, engines.talk, offline=offline)
    return replace(asked, bases=tuple((name, here[name].digest) for name in asked.recipe.loose))


def _remembered(asked: Question, store: Store) -> dict[str, str]:
    """Return what the images were when the question was last answered; nothing where it never was."""
    path = store.find(KIND, asked.digest, _REMEMBERED)
    try:
        found = json.loads(path.read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def _load(asked: Question, store: Store) -> OptLayer | None:
    """Return the run of a question from the store; None where it is not there, or damaged."""
    if not asked.key or (path := store.find(KIND, asked.key, SUFFIX)) is None:
        return None
    try:
        run = Run.open(path)
    except DamagedRunError:
        store.evict(KIND, asked.key, SUFFIX)
        return None
    info: dict[str, Any] = json.loads(run.info)
    return OptLayer(
        layer=asked.layer,
        path=path,
        zipped=run.zipped,
        unzipped=run.unzipped,
        entries=run.entries,
        key=asked.key,
        dockerfile=asked.dockerfile,
        sha256=asked.sha256,
        image=info["image"],
        bases=asked.bases or (),
        packages=convert(info["packages"], tuple[OptPackage, ...]),
        notes=tuple(info["notes"]),
    )


def _make(
    asked: Question, project: Project, target: Target, store: Store, engine: Engine, *, offline: bool
) -> OptLayer:
    """Build the image, take /opt out of it, and keep that in the store."""
    from layerkit.archive import write_run
    from layerkit.archive.spool import Spool
    from layerkit.container import image_build, opt

    tag = _tag(project.name, asked.layer, target)
    order = image_build.order(asked, project, target, tag, offline=offline)
    path = project.lock_folder / LOGS / f"{target.key}-{asked.layer}.log"
    image = image_build.logged(engine, order, path)
    chunks = image_build.files(engine, image, f"/{opt.ROOT}", order.platform)
    with store.publish(KIND, asked.key, SUFFIX) as draft, Spool(draft.parent) as spool:
        found = opt.read(chunks, spool, target, asked.dockerfile)
        packages = [_package(name, content) for name, content in sorted(found.metadata.items())]
        info = {"image": image, "packages": packages, "notes": found.notes}
        write_run(draft, found.pieces, json.dumps(info, sort_keys=True).encode())
    with store.publish(KIND, asked.digest, _REMEMBERED) as draft:
        draft.write_text(json.dumps(dict(asked.bases or ())))
    if made := _load(asked, store):
        return made
    raise StorageError(
        "what a Dockerfile made was gone or damaged right after it was written",
        where=str(store.path(KIND, asked.key, SUFFIX)),
        fix="Is another process removing files there, or is the disk failing?",
    )


def _package(name: str, content: bytes) -> dict[str, Any]:
    """Return what METADATA says of a package, in the shape of an OptPackage."""
    from packaging.utils import canonicalize_name

    from layerkit.metadata import parse

    folder, _, dist_info = name.removesuffix("/METADATA").rpartition("/")
    stem, _, version = dist_info.removesuffix(".dist-info").partition("-")
    metadata = parse(content)
    return {
        "name": canonicalize_name(metadata.name or stem),
        "version": metadata.version or version,
        "folder": folder,
        "requires": metadata.requires,
        "extras": metadata.provides_extras,
    }


def _tag(project: str, layer: str, target: Target) -> str:
    """Return the name that the image has on the engine, in the letters that names of images may have."""
    return f"layerkit/{question.plain(f'{project}-{layer}')}:{target.key}"
