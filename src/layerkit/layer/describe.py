"""What was built, said as a manifest: the values of a build put into the words of manifest.py."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from layerkit import __version__
from layerkit.layer.manifest import (
    Base,
    Brought,
    Effect,
    FoundPackage,
    Layer,
    LeftOut,
    LockRef,
    Manifest,
    Opt,
    Package,
    Preparing,
    ProjectRef,
    RemoteFile,
    SdkRef,
    Stack,
    TargetRef,
    Tool,
    Unstripped,
    WheelFile,
    ZipFile,
)
from layerkit.plan import most_unzipped
from layerkit.project.faults import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerkit.dockerfiles import OptLayer
    from layerkit.layer.function_code import CodeZip
    from layerkit.layer.zips import BuiltLayer
    from layerkit.lock import Lock, WheelRef
    from layerkit.plan import Plan
    from layerkit.prepare import PreparedWheel
    from layerkit.project import Project
    from layerkit.settings import Settings
    from layerkit.target import Target


def describe(  # noqa: PLR0913 - all that a build was
    project: Project,
    lock: Lock,
    plan: Plan,
    prepared: Mapping[str, PreparedWheel],
    layers: Sequence[BuiltLayer],
    code: Sequence[CodeZip] = (),
    *,
    settings: Settings,
    notes: Sequence[str] = (),
    opts: Mapping[str, OptLayer] | None = None,
) -> Manifest:
    """Return the manifest of a build: `layers` and `code` as they were written, `notes` of the build.

    `opts` are what Dockerfiles brought, by layer.

    The notes of the project, the lock, the plan and the wheels come first; each is kept once.
    """
    wheels = {package.name: package.wheel for package in lock.packages}
    odd = [f"{name}: {note}" for layer in layers for name in layer.packages for note in prepared[name].notes]
    said = dict.fromkeys((*project.notes, *lock.notes, *plan.notes, *odd, *notes))
    return Manifest(
        tool=Tool(name="layerkit", version=__version__),
        project=ProjectRef(name=project.name, version=project.version),
        target=_target(lock.target),
        layout=settings.layout,
        preparing=_preparing(settings),
        lock=LockRef(digest=lock.digest, inputs=lock.inputs),
        sdk=_sdk(lock, project),
        runtime_brings=brought(lock.target),
        layers=tuple(_layer(layer, plan, prepared, wheels, opts or {}) for layer in layers),
        stacks=_stacks(plan, layers, code, prepared),
        remote=_remote(layers, prepared, project),
        left_out=tuple(LeftOut(name=e.name, version=e.version, reason=e.reason) for e in plan.left_out),
        notes=tuple(_public(note, project) for note in said),
    )


def brought(target: Target) -> tuple[Brought, ...]:
    """Return the packages that a runtime brings, in name order, with the versions that were seen."""
    sdk = target.sdk.source if target.sdk else None
    others = target.seen.source if target.seen else None
    return tuple(
        Brought(name=name, version=version, source=sdk if name in ("boto3", "botocore") else others)
        for name, version in target.brings()
    )


def _target(target: Target) -> TargetRef:
    glibc = ".".join(map(str, target.glibc))
    return TargetRef(runtime=target.runtime, arch=target.arch, python=target.python, glibc=glibc)


def _sdk(lock: Lock, project: Project) -> SdkRef:
    """Return where the SDK is and its versions there: the lock holds it in both modes that have one."""
    versions = {package.name: package.version for package in lock.packages}
    return SdkRef(
        mode=lock.sdk.mode,
        reason=_public(lock.sdk.reason, project),
        boto3=versions.get("boto3"),
        botocore=versions.get("botocore"),
    )


def _layer(
    layer: BuiltLayer,
    plan: Plan,
    prepared: Mapping[str, PreparedWheel],
    wheels: Mapping[str, WheelRef],
    opts: Mapping[str, OptLayer],
) -> Layer:
    opt = opts.get(layer.name)
    return Layer(
        name=layer.name,
        zip=_zip(layer.path, layer.sha256, layer.size, layer.unzipped, layer.entries),
        packages=tuple(
            _package(prepared[name], wheels[name].filename, plan.why.get(name, (name,)))
            for name in layer.packages
        ),
        opt=_opt(opt) if opt else None,
        beneath=next(planned.beneath for planned in plan.layers if planned.name == layer.name),
    )


def _opt(opt: OptLayer) -> Opt:
    return Opt(
        dockerfile=opt.dockerfile,
        sha256=opt.sha256,
        image=opt.image,
        bases=tuple(Base(name=redact(name), digest=digest) for name, digest in opt.bases),
        packages=tuple(FoundPackage(name=one.name, version=one.version) for one in opt.packages),
        zipped=opt.zipped,
        unzipped=opt.unzipped,
        entries=opt.entries,
    )


def _package(wheel: PreparedWheel, filename: str, why: tuple[str, ...]) -> Package:
    return Package(
        name=wheel.name,
        version=wheel.version,
        wheel=WheelFile(file=filename, sha256=wheel.wheel_sha256),
        zipped=wheel.zipped,
        unzipped=wheel.unzipped,
        licence=wheel.licence,
        modules=wheel.modules,
        unpacked=wheel.unpacked,
        why=why,
        effects=_effects(wheel),
        unstripped=tuple(Unstripped(file=path, reason=why) for path, why in sorted(wheel.unstripped.items())),
    )


def _effects(wheel: PreparedWheel) -> tuple[Effect, ...]:
    """Return what preparing did to the wheel, by rule."""
    effects = [
        Effect(rule=rule, files=one.count, bytes=-one.bytes) for rule, one in sorted(wheel.dropped.items())
    ]
    effects.append(Effect(rule="strip", files=wheel.stripped.count, bytes=-wheel.stripped.bytes))
    effects.append(Effect(rule="bytecode", files=wheel.bytecode.count, bytes=wheel.bytecode.bytes))
    effects.append(Effect(rule="no-bytecode", files=wheel.skipped, bytes=0))
    return tuple(effect for effect in effects if effect.files)


def _preparing(settings: Settings) -> Preparing:
    """Return how the wheels were prepared."""
    who = settings.interpreter
    return Preparing(
        strip=settings.strip, bytecode=settings.bytecode, interpreter=who.version if who else None
    )


def _zip(path: Path, sha256: str, size: int, unzipped: int, entries: int) -> ZipFile:
    """Return a zip as the manifest has it; AWS prints digests in base64."""
    code_sha256 = base64.b64encode(bytes.fromhex(sha256)).decode()
    return ZipFile(
        file=path.name,
        sha256=sha256,
        code_sha256=code_sha256,
        zipped=size,
        unzipped=unzipped,
        entries=entries,
    )


def _remote(
    layers: Sequence[BuiltLayer], prepared: Mapping[str, PreparedWheel], project: Project
) -> tuple[RemoteFile, ...]:
    """Return the files that functions fetch from elsewhere, by name."""
    base = (project.over_limit.remote or "").rstrip("/")
    files = sorted(file for layer in layers for name in layer.packages for file in prepared[name].remote)
    return tuple(
        RemoteFile(file=file, sha256=sha256, size=size, address=f"{base}/{file}" if base else None)
        for file, sha256, size in files
    )


def _stacks(
    plan: Plan,
    layers: Sequence[BuiltLayer],
    code: Sequence[CodeZip],
    prepared: Mapping[str, PreparedWheel],
) -> tuple[Stack, ...]:
    """Return the stacks of the plan with the sizes that the zips really have."""
    sizes = {layer.name: layer.unzipped for layer in layers}
    moved = {layer.name: sum(prepared[name].unpacked for name in layer.packages) for layer in layers}
    zips = {each.function: each for each in code}
    stacks = []
    for planned in plan.stacks:
        own = zips.get(planned.name)
        # A function without code of its own to zip counts for what it was planned with.
        unzipped = sum(sizes[name] for name in planned.layers) + (own.unzipped if own else planned.code_bytes)
        stacks.append(
            Stack(
                name=planned.name,
                layers=planned.layers,
                code=_zip(own.path, own.sha256, own.size, own.unzipped, own.entries) if own else None,
                unzipped=unzipped,
                slack=most_unzipped() - unzipped,
                unpacked=sum(moved[name] for name in planned.layers),
            )
        )
    return tuple(stacks)


def _public(text: str, project: Project) -> str:
    """Return a sentence as it may travel: without credentials, and with paths from the project's folder."""
    return redact(text).replace(f"{project.root}/", "").replace(str(project.root), ".")
