"""The lock: one resolution per target over all layers, kept as a PEP 751 file.

A lock names one wheel per package, with its hash, and carries what each package requires on the
target, so that planning, checking and drawing trees need neither an index nor a wheel. It is
current as long as the project's inputs and the facts of the target are the ones it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import asdict, replace

from layerkit.errors import ConfigError
from layerkit.lock.decoder import decoder
from layerkit.metadata import Dependency
from layerkit.output import write_bytes
from layerkit.toml import TOMLDecodeError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.project import LayerSpec, Project, Requirement
    from layerkit.target import Target

FORMAT = 1
_before: dict[Path, tuple[str, Target, Lock]] = {}  # what was read last, by where it lies
SdkMode = Literal["runtime", "bundle", "absent"]
_REQUIRES = re.compile(r'([^\[<>=!~;\s]+)(?:\[([^\]]*)\])?\s*([^;]*?)\s*(?:;\s*extra == "([^"]*)")?')


class WheelRef(Struct, frozen=True, kw_only=True):
    """Where a wheel is to be had, and what it must hash to. `path` is set for local wheels."""

    filename: str
    sha256: str
    size: int | None = None
    url: str | None = None
    path: str | None = None


class Source(Struct, frozen=True, kw_only=True):
    """The source archive that a wheel was built from, and what else decided about its bytes.

    `image` is the image's name and `digest` its content, `system` the system packages that were put
    into it, `tools` what the build itself required, as name==version.
    """

    sdist: WheelRef
    image: str
    digest: str
    system: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


class SdkDecision(Struct, frozen=True, kw_only=True):
    """Where a function finds the AWS SDK: with the runtime, in a layer, or not at all."""

    mode: SdkMode
    reason: str


class ImageRef(Struct, frozen=True, kw_only=True):
    """The image whose interpreter a lock was resolved by: its name, its content, what it said of itself."""

    reference: str
    digest: str
    python: str
    glibc: str


class LockedPackage(Struct, frozen=True, kw_only=True):
    """One package of a lock: its wheel, and what it requires on the target.

    `requires` holds the base dependencies and those of the extras that somebody asked for. A package
    with a `source` was built from it: its wheel is in the store, or has to be built again. `attestations`
    are who attested to the wheel, as JSON, where the project's own lock says so.
    """

    name: str
    version: str
    wheel: WheelRef
    source: Source | None = None
    requires: tuple[Dependency, ...] = ()
    attestations: str = ""


class Lock(Struct, frozen=True, kw_only=True):
    """The packages of all layers for one target, in name order, and how they were decided.

    `inputs` is the digest of what was asked, `digest` the one of the file itself. `image` is set where
    the resolution happened in one; then the release of Python in `target`, which markers ask for, is the
    image's.
    """

    target: Target
    packages: tuple[LockedPackage, ...]
    sdk: SdkDecision
    inputs: str
    path: Path
    digest: str
    notes: tuple[str, ...] = ()
    image: ImageRef | None = None

    def package(self, name: str) -> LockedPackage | None:
        """Return the package of that canonical name, if the lock has it."""
        return next((package for package in self.packages if package.name == name), None)


def lock_path(project: Project, target: Target) -> Path:
    """Return where the lock of a target lies; PEP 751 allows no dots in the middle of the name."""
    return project.lock_folder / f"pylock.{target.short}-{target.arch}.toml"


def roots(project: Project) -> tuple[Requirement, ...]:
    """Return what a resolution is asked for: the requirements of all layers, in declared order.

    The project's own wheel is not among them where a layer holds nothing but that.
    """
    return tuple(
        root
        for layer in project.layers
        for root in layer.requirements
        if not _own_wheel(layer, root, project)
    )


def holds_own_wheel(project: Project) -> bool:
    """Tell whether a layer holds the project's own wheel, and no requirement brings it into the lock."""
    asked = any(root.path == project.root for root in roots(project))
    return not asked and any(
        _own_wheel(layer, root, project) for layer in project.layers for root in layer.requirements
    )


def _own_wheel(layer: LayerSpec, root: Requirement, project: Project) -> bool:
    return layer.project == "wheel-only" and root.path == project.root


def inputs_digest(project: Project, target: Target) -> str:
    """Return the digest of all that decides the resolution of a project for a target."""
    sdk = target.sdk and (target.sdk.boto3, target.sdk.botocore)
    asked = {
        "format": FORMAT,
        "inputs": [one for one in project.inputs if one[0] != "./" or not holds_own_wheel(project)],
        "sdk": (project.sdk, sdk),
        "target": (target.markers(), target.glibc),
    }
    if name := decoder(project, target):
        asked["decoder"] = name
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def current(project: Project, target: Target, *, inside: bool = False) -> Lock | None:
    """Return the lock on disk if it answers what the project asks today, else None.

    With `inside` only one that was resolved in the runtime's image will do.
    """
    path = lock_path(project, target)
    if not path.exists():
        return None
    lock = read(path, target)
    # A wheel built from a local folder is only on the machine that built it.
    local = (package.wheel.path for package in lock.packages if package.wheel.path)
    if lock.inputs != inputs_digest(project, target) or not all(map(os.path.exists, local)):
        return None
    if inside and lock.image is None:
        return None
    return lock


def read(path: Path, target: Target) -> Lock:
    """Read a lock of ours from disk; raises ConfigError for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
        before = _before.get(path)
        if before is None or before[:2] != (text, target):  # a build reads it for each of its steps
            before = _before[path] = (text, target, _read(text, path, target))
        return before[2]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the lock cannot be read: {error}", where=str(path)) from error


def write(
    path: Path,
    target: Target,
    packages: Sequence[LockedPackage],
    sdk: SdkDecision,
    inputs: str,
    notes: Sequence[str],
    *,
    image: ImageRef | None = None,
) -> Lock:
    """Write a lock, whole or not at all, and return it as it would be read again."""
    import tomli_w

    document = {
        "lock-version": "1.0",
        "created-by": "layerkit",
        "requires-python": f"=={target.minor}.*",
        "packages": [_package_table(package, path.parent) for package in packages],
        "tool": {
            "layerkit": {
                "format": FORMAT,
                "target": target.key,
                "inputs": inputs,
                "notes": list(notes),
                "sdk": {"mode": sdk.mode, "reason": sdk.reason},
                **({"image": asdict(image)} if image else {}),
            }
        },
    }
    text = tomli_w.dumps(document)
    write_bytes(path, text.encode())
    return _read(text, path, target)


def _package_table(package: LockedPackage, folder: Path) -> dict[str, Any]:
    """Return a package as PEP 751 has it; what it requires stands under `tool`.

    Of a package that was built the lock names the source archive, as for any other installer; the
    wheel, which lies nowhere but in the store, stands under `tool` with what it was built in.
    """
    table: dict[str, Any] = {"name": package.name, "version": package.version}
    names = sorted({need.name for need in package.requires} - {package.name})
    if names:
        table["dependencies"] = [{"name": name} for name in names]
    if package.attestations:
        table["attestation-identities"] = json.loads(package.attestations)
    ours: dict[str, Any] = {}
    if package.source is None:
        table["wheels"] = [_file_table(package.wheel, folder)]
    else:
        table["sdist"] = _file_table(package.source.sdist, folder)
        ours["built"] = {
            **_file_table(package.wheel, folder),
            "image": package.source.image,
            "digest": package.source.digest,
            "system": list(package.source.system),
            "tools": list(package.source.tools),
        }
    if package.requires:
        ours["requires"] = [_requirement_text(need) for need in package.requires]
    if ours:
        table["tool"] = {"layerkit": ours}
    return table


def _file_table(ref: WheelRef, folder: Path) -> dict[str, Any]:
    """Return a wheel or a source archive as PEP 751 has it."""
    table: dict[str, Any] = {"name": ref.filename}
    if ref.url:
        table["url"] = ref.url
    if ref.path:
        table["path"] = Path(os.path.relpath(ref.path, folder)).as_posix()
    if ref.size is not None:
        table["size"] = ref.size
    return {**table, "hashes": {"sha256": ref.sha256}}


def _requirement_text(need: Dependency) -> str:
    """Return a dependency as PEP 508 writes it."""
    extras = f"[{','.join(need.extras)}]" if need.extras else ""
    return f"{need.name}{extras}{need.specifier}" + (f' ; extra == "{need.extra}"' if need.extra else "")


def _read(text: str, path: Path, target: Target) -> Lock:
    """Read a lock's text; anything that is not a lock of ours is refused with the way out."""
    try:
        document = parse(text)
        ours = document["tool"]["layerkit"]
        packages = tuple(_read_package(table, path.parent) for table in document["packages"])
        sdk = SdkDecision(mode=ours["sdk"]["mode"], reason=ours["sdk"]["reason"])
        notes, inputs = tuple(ours["notes"]), str(ours["inputs"])
        image = ImageRef(**ours["image"]) if "image" in ours else None
        if ours["format"] != FORMAT:
            inputs = ""
    except (TOMLDecodeError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(
            f"this is not a lock that layerkit wrote ({type(error).__name__}: {error})",
            where=str(path),
            fix="remove it; the next build writes a new one",
        ) from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Lock(
        target=replace(target, python=image.python) if image else target,
        packages=packages,
        sdk=sdk,
        inputs=inputs,
        path=path,
        digest=digest,
        notes=notes,
        image=image,
    )


def _read_package(table: Mapping[str, Any], folder: Path) -> LockedPackage:
    """Read one package of a lock."""
    ours = table.get("tool", {}).get("layerkit", {})
    built = ours.get("built")
    return LockedPackage(
        name=table["name"],
        version=table["version"],
        wheel=_read_file(table["wheels"][0] if built is None else built, folder),
        source=None if built is None else _read_source(built, _read_file(table["sdist"], folder)),
        requires=tuple(map(_read_requirement, ours.get("requires", ()))),
        attestations=json.dumps(said, sort_keys=True)
        if (said := table.get("attestation-identities"))
        else "",
    )


def _read_file(table: Mapping[str, Any], folder: Path) -> WheelRef:
    """Read back what `_file_table` wrote."""
    path = table.get("path")
    return WheelRef(
        filename=table["name"],
        sha256=table["hashes"]["sha256"],
        size=table.get("size"),
        url=table.get("url"),
        path=os.path.normpath(folder / path) if path else None,
    )


def _read_source(built: Mapping[str, Any], sdist: WheelRef) -> Source:
    """Read what a wheel was built from and in."""
    return Source(
        sdist=sdist,
        image=built["image"],
        digest=built["digest"],
        system=tuple(built["system"]),
        tools=tuple(built["tools"]),
    )


def _read_requirement(text: str) -> Dependency:
    """Read back what `_requirement_text` wrote."""
    found = _REQUIRES.fullmatch(text)
    if found is None:
        raise KeyError(text)
    extras = tuple(found[2].split(",")) if found[2] else ()
    return Dependency(name=found[1], specifier=found[3], extras=extras, extra=found[4] or "")
