"""The manifest: what was built for one target, as JSON beside the zips.

It holds what another tool or a later command needs to publish, check, compare or explain the
layers without opening them: no dates, no absolute paths, no names of hosts, no credentials, so that
the same inputs give the same bytes. Its form is fixed by schemas/manifest.json; `SCHEMA` is the first
thing in it that a reader looks at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct, ValidationError, convert, to_builtins

from layerkit.errors import ConfigError, StorageError
from layerkit.output import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "layerkit/manifest/1"
_FAMILY = "layerkit/manifest/"


class Tool(Struct, frozen=True, kw_only=True):
    """The program that wrote the manifest."""

    name: str
    version: str


class ProjectRef(Struct, frozen=True, kw_only=True):
    """The project that the layers belong to."""

    name: str
    version: str


class TargetRef(Struct, frozen=True, kw_only=True):
    """What the layers are for; `python` is the full version whose markers were used."""

    runtime: str
    arch: str
    python: str
    glibc: str


class LockRef(Struct, frozen=True, kw_only=True):
    """The lock that the packages come from: its own sha256, and that of the inputs it answers."""

    digest: str
    inputs: str


class SdkRef(Struct, frozen=True, kw_only=True):
    """Where the functions find the AWS SDK (runtime, bundle, absent), why, and its versions there."""

    mode: str
    reason: str
    boto3: str | None
    botocore: str | None


class Brought(Struct, frozen=True, kw_only=True):
    """A package that the runtime brings; version and source are null where nobody has seen them."""

    name: str
    version: str | None
    source: str | None


class WheelFile(Struct, frozen=True, kw_only=True):
    """A wheel by its file name and sha256."""

    file: str
    sha256: str


class Preparing(Struct, frozen=True, kw_only=True):
    """How wheels were prepared: whether stripped, and where bytecode lies (beside, only, none).

    `interpreter` is the release of Python that compiled, such as 3.12.1; null where there is no bytecode.
    """

    strip: bool
    bytecode: str
    interpreter: str | None


class Unstripped(Struct, frozen=True, kw_only=True):
    """A file that kept its symbol tables, and the reason."""

    file: str
    reason: str


class Effect(Struct, frozen=True, kw_only=True):
    """What one rule or step of preparing did to the files of a wheel.

    `rule` names a row of slimming, or a step; `bytes` is what the package grew by unzipped, negative
    where it shrank.
    """

    rule: str
    files: int
    bytes: int


class Package(Struct, frozen=True, kw_only=True):
    """A package in a layer; sizes in bytes. `why` leads from a root of the project to the package.

    `unpacked` is what it takes of /tmp when a function starts, 0 where all of it stays in the layer.
    """

    name: str
    version: str
    wheel: WheelFile
    zipped: int
    unzipped: int
    licence: str | None
    modules: tuple[str, ...]
    unpacked: int
    why: tuple[str, ...]
    effects: tuple[Effect, ...]
    unstripped: tuple[Unstripped, ...]


class Base(Struct, frozen=True, kw_only=True):
    """An image that a Dockerfile starts from by a name without a digest, and what that was."""

    name: str
    digest: str


class FoundPackage(Struct, frozen=True, kw_only=True):
    """A package that a Dockerfile installed."""

    name: str
    version: str


class Opt(Struct, frozen=True, kw_only=True):
    """What a Dockerfile left in /opt; sizes in bytes.

    `dockerfile` is a path in the project, `sha256` that file's, `image` the engine's id of what it became.
    """

    dockerfile: str
    sha256: str
    image: str
    bases: tuple[Base, ...]
    packages: tuple[FoundPackage, ...]
    zipped: int
    unzipped: int
    entries: int


class ZipFile(Struct, frozen=True, kw_only=True):
    """A zip beside the manifest; sizes in bytes.

    `sha256` is hex, `code_sha256` the same digest in base64, as AWS prints CodeSha256.
    """

    file: str
    sha256: str
    code_sha256: str
    zipped: int
    unzipped: int
    entries: int


class Layer(Struct, frozen=True, kw_only=True):
    """A layer: its zip, its packages in name order, what a Dockerfile left, the layers it relies on."""

    name: str
    zip: ZipFile
    packages: tuple[Package, ...]
    opt: Opt | None = None
    beneath: tuple[str, ...]


class Stack(Struct, frozen=True, kw_only=True):
    """Layers that meet in one function, the lowest first; `code` is null where only layers are declared.

    `unzipped` is the sum that Lambda's limit counts, `slack` what the limit leaves, `unpacked` what the
    function needs of /tmp when it starts, all in bytes.
    """

    name: str
    layers: tuple[str, ...]
    code: ZipFile | None
    unzipped: int
    slack: int
    unpacked: int


class RemoteFile(Struct, frozen=True, kw_only=True):
    """A file beside the manifest that no layer holds: functions fetch it from `address`. Size in bytes."""

    file: str
    sha256: str
    size: int
    address: str | None


class LeftOut(Struct, frozen=True, kw_only=True):
    """A package of the lock that lies in no layer, and the reason."""

    name: str
    version: str
    reason: str


class Manifest(Struct, frozen=True, kw_only=True):
    """Everything built for one project and target. Empty layers are not in it."""

    schema: str = SCHEMA
    tool: Tool
    project: ProjectRef
    target: TargetRef
    layout: str
    preparing: Preparing
    lock: LockRef
    sdk: SdkRef
    runtime_brings: tuple[Brought, ...]
    layers: tuple[Layer, ...]
    stacks: tuple[Stack, ...]
    remote: tuple[RemoteFile, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    def zips(self) -> tuple[ZipFile, ...]:
        """Return the zips that belong to the manifest: those of the layers, then the functions' code."""
        code = tuple(stack.code for stack in self.stacks if stack.code)
        return (*(layer.zip for layer in self.layers), *code)

    def files(self) -> tuple[str, ...]:
        """Return the names of all files that belong to the manifest."""
        return (*(one.file for one in self.zips()), *(one.file for one in self.remote))

    def text(self) -> str:
        """Return the manifest as it stands in its file."""
        return json.dumps(to_builtins(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(manifest: Manifest, path: Path) -> None:
    """Write the manifest to `path`, whole or not at all. Raises StorageError."""
    write_bytes(path, manifest.text().encode())


def read(path: Path) -> Manifest:
    """Return the manifest in `path`.

    Raises StorageError when the file cannot be read, ConfigError when it is not a manifest, is
    damaged, or is of a form that this version does not know.
    """
    fix = "build again to write a new one"
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        what = f"the manifest cannot be read: {error.strerror}"
        raise StorageError(what, where=str(path), fix=fix) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("this is not a manifest: it is no JSON", where=str(path), fix=fix) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_FAMILY):
        raise ConfigError("this is not a manifest of layerkit", where=str(path))
    if schema != SCHEMA:
        raise ConfigError(
            f"the manifest is of the form {schema}, and this version reads {SCHEMA}", where=str(path), fix=fix
        )
    try:
        manifest = convert(document, Manifest)
    except ValidationError as error:
        raise ConfigError(f"the manifest is damaged: {error}", where=str(path), fix=fix) from error
    foreign = [name for name in manifest.files() if not _bare(name)]
    if foreign:
        raise ConfigError(f"the manifest names a file elsewhere: {foreign[0]!r}", where=str(path), fix=fix)
    return manifest


def files_of(path: Path) -> frozenset[str]:
    """Return the names of the files of the manifest in `path`; none where there is no manifest of ours."""
    try:
        return frozenset(read(path).files())
    except (ConfigError, StorageError):
        return frozenset()


def _bare(name: str) -> bool:
    """Say whether `name` can only mean a file beside the manifest."""
    return bool(name) and name not in (".", "..") and not {"/", "\\", "\0"} & set(name)
