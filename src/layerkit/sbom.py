"""A bill of materials for each layer: CycloneDX 1.6, from the manifest, the lock and the zip itself.

No date and no chance is in it: the same layer has the same bill. What a wheel brings as its own bills
(PEP 770) stays in the layer and is referred to, with its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from layerkit import __version__
from layerkit.archive import Archive
from layerkit.output import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cyclonedx.model.component import Component

    from layerkit.layer.manifest import Layer, Manifest, Package
    from layerkit.lock import Lock, LockedPackage

SUFFIX = ".cdx.json"
_BILL = re.compile(r"(?:.*/)?([^/]+)\.dist-info/sboms/[^/]+")
# A name space of our own, so that the serial number of a bill follows from the layer's digest.
_SPACE = uuid.UUID("8a6e0a3e-2f6c-5f0e-9d0b-0d5c6f1f7a11")


def write_bills(manifest: Manifest, lock: Lock | None, folder: Path) -> list[Path]:
    """Write the bill of every layer beside its zip, and return the paths.

    `lock` is the one that the layers were built from; without it a bill names no dependencies. Raises
    WheelError and StorageError for a zip that cannot be read.
    """
    found = []
    for layer in manifest.layers:
        zip_ = folder / layer.zip.file
        path = zip_.with_name(zip_.name.removesuffix(".zip") + SUFFIX)
        write_bytes(path, bill(manifest, layer, lock, own_bills(zip_)).encode())
        found.append(path)
    return found


def own_bills(zip_: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the bills that wheels brought into a layer, as (member, sha256), by the package's name."""
    from packaging.utils import canonicalize_name

    found: dict[str, list[tuple[str, str]]] = {}
    with Archive.open(zip_) as archive:
        for member in archive.members:
            if match := _BILL.fullmatch(member.name):
                name = canonicalize_name(match[1].partition("-")[0])
                digest = hashlib.sha256(archive.read(member)).hexdigest()
                found.setdefault(name, []).append((member.name, digest))
    return found


def bill(
    manifest: Manifest, layer: Layer, lock: Lock | None, own: Mapping[str, list[tuple[str, str]]]
) -> str:
    """Return the bill of one layer, as JSON."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    locked = {package.name: package for package in lock.packages} if lock else {}
    top = Component(
        name=layer.zip.file,
        version=manifest.project.version,
        type=ComponentType.FILE,
        bom_ref="layer",
        hashes=[_sha256(layer.zip.sha256)],
        properties=_properties(
            {
                "project": manifest.project.name,
                "layer": layer.name,
                "runtime": manifest.target.runtime,
                "architecture": manifest.target.arch,
                "lock": manifest.lock.digest,
            }
        ),
    )
    tool = Component(name="layerkit", version=__version__, type=ComponentType.APPLICATION, bom_ref="layerkit")
    made = {one.name: _component(one, locked.get(one.name), own.get(one.name, [])) for one in layer.packages}
    for found in layer.opt.packages if layer.opt else ():
        other = Component(name=found.name, version=found.version, bom_ref=found.name)
        made.setdefault(found.name, other)
    bom = Bom(
        components=made.values(),
        serial_number=uuid.uuid5(_SPACE, layer.zip.sha256),
        metadata=BomMetaData(component=top, tools=_tools(tool)),
    )
    bom.register_dependency(top, made.values())
    for name, one in made.items():
        needs = {need.name for need in locked[name].requires} if name in locked else set()
        bom.register_dependency(one, [made[need] for need in sorted(needs & made.keys() - {name})])
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _component(package: Package, locked: LockedPackage | None, own: list[tuple[str, str]]) -> Component:
    """Return one package: its wheel's digest, its licence, where its own bills are."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    said = {"wheel": package.wheel.file, "why": " -> ".join(package.why)}
    if locked and locked.attestations:
        said["attestation-identities"] = locked.attestations
    licence = [LicenseFactory().make_from_string(package.licence)] if package.licence else []
    return Component(
        name=package.name,
        version=package.version,
        bom_ref=package.name,
        # What is not in the lock is the project's own, which no index has.
        purl=PackageURL(type="pypi", name=package.name, version=package.version) if locked else None,
        hashes=[_sha256(package.wheel.sha256)],
        licenses=licence,
        external_references=[
            ExternalReference(type=ExternalReferenceType.BOM, url=XsUri(path), hashes=[_sha256(digest)])
            for path, digest in own
        ],
        properties=_properties(said),
    )


def _sha256(digest: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _tools(tool: Component) -> Any:
    from cyclonedx.model.tool import ToolRepository

    return ToolRepository(components=[tool])


def _properties(values: Mapping[str, str]) -> Iterator[Any]:
    from cyclonedx.model import Property

    for name, value in values.items():
        yield Property(name=f"layerkit:{name}", value=value)
