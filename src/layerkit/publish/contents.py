"""What a layer holds, read from a manifest, from a zip of anybody's, or from a version on AWS."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import Archive
from layerkit.errors import UsageError
from layerkit.layer import manifest as manifests
from layerkit.metadata import parse as parse_metadata
from layerkit.project.requirement import canonical
from layerkit.publish.downloads import as_files, layer_version
from layerkit.record import parse as parse_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_METADATA = re.compile(r"(.*?)([^/]+\.dist-info)/METADATA")


class Held(Struct, frozen=True, kw_only=True):
    """A package in a layer; sizes in bytes. `layers` are the layers of a manifest that hold it."""

    name: str
    version: str
    zipped: int
    unzipped: int
    layers: tuple[str, ...] = ()


class Contents(Struct, frozen=True, kw_only=True):
    """All that was read: packages by name, the bytes of files that belong to none, and the sums."""

    source: str
    packages: dict[str, Held]
    other: int
    zipped: int
    unzipped: int


def contents(source: str, profiles: Sequence[str] = (), roles: Sequence[str] = ()) -> Contents:
    """Return what `source` holds: the path of a manifest or of a zip, or the ARN of a layer's version.

    Raises UsageError for what is none of them, and the errors of reading it.
    """
    if layer_version(source):
        with as_files([source], profiles, roles) as (downloaded,):
            return _zip(downloaded, source)
    path = Path(source)
    if not path.is_file():
        what = f"there is no file {source!r}, and it is no ARN of a layer's version"
        raise UsageError(what, fix="name two zips, manifests or ARNs")
    return _manifest(path) if path.suffix == ".json" else _zip(path, source)


def _manifest(path: Path) -> Contents:
    """Read a manifest: the packages of all its layers."""
    found = manifests.read(path)
    packages: dict[str, Held] = {}
    for layer in found.layers:
        for one in layer.packages:
            before = packages.get(one.name)
            packages[one.name] = Held(
                name=one.name,
                version=one.version,
                zipped=one.zipped + (before.zipped if before else 0),
                unzipped=one.unzipped + (before.unzipped if before else 0),
                layers=(*(before.layers if before else ()), layer.name),
            )
    zips = [layer.zip for layer in found.layers]
    unzipped = sum(one.unzipped for one in zips)
    return Contents(
        source=path.name,
        packages=packages,
        # A file that several packages bring is kept once, so the packages may have more bytes than the zips.
        other=max(0, unzipped - sum(one.unzipped for one in packages.values())),
        zipped=sum(one.zipped for one in zips),
        unzipped=unzipped,
    )


def _zip(path: Path, source: str) -> Contents:
    """Read a zip: each package's files are those that its RECORD names."""
    with Archive.open(path, name=source) as archive:
        left = {member.name: member for member in archive.members}
        packages = {}
        for member in archive.members:
            if match := _METADATA.fullmatch(member.name):
                metadata = parse_metadata(archive.read(member))
                stem, _, version = match[2].removesuffix(".dist-info").partition("-")
                name = canonical(metadata.name or stem)
                files = [left.pop(each) for each in _recorded(archive, match[1], match[2]) if each in left]
                packages[name] = Held(
                    name=name,
                    version=metadata.version or version,
                    zipped=sum(one.packed for one in files),
                    unzipped=sum(one.size for one in files),
                )
        return Contents(
            source=source,
            packages=packages,
            other=sum(member.size for member in left.values()),
            zipped=path.stat().st_size,
            unzipped=sum(member.size for member in archive.members),
        )


def _recorded(archive: Archive, folder: str, info: str) -> Iterable[str]:
    """Return the members that a package's RECORD names; without RECORD those of its metadata."""
    own = {member.name: member for member in archive.members if member.name.startswith(f"{folder}{info}/")}
    record = own.get(f"{folder}{info}/RECORD")
    rows = parse_record(archive.read(record), info)[0] if record else {}
    return {*own, *(posixpath.normpath(f"{folder}{row}") for row in rows)}
