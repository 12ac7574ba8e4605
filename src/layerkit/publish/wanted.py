"""What there is to publish: the layers of the last builds, each with all that Lambda will be told of it.

Zips of one content that get one name become one version, for all their runtimes and architectures.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.errors import UsageError
from layerkit.project.faults import nearest
from layerkit.publish.names import (
    DESCRIPTION_WORDS,
    NAME_WORDS,
    check_template,
    description,
    layer_name,
)
from layerkit.target import limit
from layerkit.target import target as make_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from layerkit.layer.manifest import Layer, Manifest

_AND = " AND "
_SHOWN = 16  # digits of a digest that are enough to find what it is of


class LayerZip(Struct, frozen=True, kw_only=True):
    """A finished zip and what Lambda will be told of it; sizes in bytes.

    `name` is the layer's name on Lambda, `layer` the project's own for it. `sha256` is hex,
    `code_sha256` the same digest as AWS prints it. `targets` are keys such as python3.12-x86_64.
    """

    name: str
    layer: str
    path: Path
    sha256: str
    code_sha256: str
    zipped: int
    unzipped: int
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    description: str
    licence: str
    targets: tuple[str, ...] = ()


class Templates(Struct, frozen=True, kw_only=True):
    """How layers are named and described; None means the default."""

    name: str | None = None
    description: str | None = None
    licence: str | None = None

    def check(self) -> None:
        """Raise UsageError for a template that no layer could be named by, and a licence that is too long."""
        if self.name is not None:
            check_template(self.name, NAME_WORDS, "the template of the name")
        if self.description is not None:
            check_template(self.description, DESCRIPTION_WORDS, "the template of the description")
        if self.licence is not None and len(self.licence) > limit("layer_licence"):
            what = f"the licence has {len(self.licence)} characters, Lambda takes {limit('layer_licence')}"
            raise UsageError(what, where="the licence", fix="give its SPDX name or its address")


def wanted(
    built: Sequence[tuple[Path, Manifest]], layers: Sequence[str], templates: Templates
) -> tuple[LayerZip, ...]:
    """Return the zips to publish, from manifests and their paths; `layers` names some, or none for all.

    Raises UsageError for a layer that was not built, a name that Lambda refuses, and where different
    zips would get one name.
    """
    templates.check()
    known = {layer.name for _, manifest in built for layer in manifest.layers}
    for name in layers:
        if name not in known:
            what = f"no layer called {name!r} was built{nearest(name, known)}"
            raise UsageError(what, fix=f"built: {', '.join(sorted(known)) or 'none'}")
    zips = [
        _zip(path, manifest, layer, templates)
        for path, manifest in built
        for layer in manifest.layers
        if not layers or layer.name in layers
    ]
    return tuple(_merged(zips))


def _zip(path: Path, manifest: Manifest, layer: Layer, templates: Templates) -> LayerZip:
    """Return one layer of a manifest as it will be published."""
    target, project = manifest.target, manifest.project
    words = {
        "py": make_target(target.runtime, target.arch).short,
        "runtime": target.runtime,
        "project": project.name,
        "version": project.version,
        "layer": layer.name,
        "arch": target.arch,
    }
    whole = hashlib.sha256(manifest.text().encode()).hexdigest()
    more = {"sha256": layer.zip.sha256, "manifest": whole[:_SHOWN], "unzipped": str(layer.zip.unzipped)}
    packages = [f"{package.name}=={package.version}" for package in layer.packages]
    return LayerZip(
        name=layer_name(templates.name, words),
        layer=layer.name,
        path=path.parent / layer.zip.file,
        sha256=layer.zip.sha256,
        code_sha256=layer.zip.code_sha256,
        zipped=layer.zip.zipped,
        unzipped=layer.zip.unzipped,
        runtimes=(target.runtime,),
        architectures=(target.arch,),
        description=description(templates.description, words | more, packages),
        licence=templates.licence or licences(package.licence for package in layer.packages),
        targets=(f"{target.runtime}-{target.arch}",),
    )


def licences(found: Iterable[str | None]) -> str:
    """Return the licences of a layer's packages as one text, at most as long as Lambda takes.

    Those that do not fit are counted: they stand in the packages' metadata, inside the layer.
    """
    each = sorted({f"({text})" if " OR " in text else text for text in found if text})
    for count in range(len(each), -1, -1):
        rest = len(each) - count
        text = _AND.join(each[:count]) + (f"{_AND if count else ''}{rest} more" if rest else "")
        if len(text) <= limit("layer_licence"):
            return text
    return ""


def _merged(zips: Iterable[LayerZip]) -> Iterable[LayerZip]:
    """Return the zips with one entry per name. Raises UsageError where one name has several contents."""
    found: dict[str, LayerZip] = {}
    for one in zips:
        other = found.setdefault(one.name, one)
        if other is one:
            continue
        if (other.sha256, other.layer) != (one.sha256, one.layer):
            what = f"{other.path.name} and {one.path.name} are different, and would both be called {one.name}"
            fix = "put {layer}, {py} or {arch} into the template of the name"
            raise UsageError(what, where="the template of the name", fix=fix)
        found[one.name] = replace(
            other,
            runtimes=_once(other.runtimes, one.runtimes),
            architectures=_once(other.architectures, one.architectures),
            targets=_once(other.targets, one.targets),
        )
    for one in found.values():
        if len(one.runtimes) > limit("layer_runtimes"):
            what = f"a layer for {len(one.runtimes)} runtimes, Lambda takes {limit('layer_runtimes')}"
            raise UsageError(what, where=f"layer {one.layer}", fix="put {py} into the template of the name")
    return found.values()


def _once(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(some + more))
