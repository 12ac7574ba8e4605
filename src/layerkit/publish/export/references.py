"""What other tools are told of a project's layers: where each zip is, or the ARN of its version by region."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.errors import UsageError
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from layerkit.publish.bucket import Bucket
    from layerkit.publish.record import LayerRow, Record
    from layerkit.publish.wanted import LayerZip


class Reference(Struct, frozen=True, kw_only=True):
    """One layer. `key` names it in the tool: letters, digits, - and _, once per export.

    `identifier` is the key as a logical name of CloudFormation: letters and digits, once per export. `path`
    is the zip's, from where the export is put; `object` its key in the bucket, where there is one. `arns`
    are those of its published version, by region.
    """

    key: str
    identifier: str
    layer: str
    name: str
    targets: tuple[str, ...]
    zip: LayerZip | None = None
    path: str = ""
    object: str | None = None
    arns: Mapping[str, str] = field(default_factory=dict)

    @property
    def large(self) -> bool:
        """Say whether the zip is too large to be sent to Lambda itself."""
        return self.zip is not None and self.zip.zipped > limit("direct_upload_bytes")


class References(Struct, frozen=True, kw_only=True):
    """All layers of an export; `stacks` is name -> keys of its layers, the lowest first."""

    project: str
    version: str
    layers: tuple[Reference, ...]
    stacks: Mapping[str, tuple[str, ...]]
    bucket: str | None = None

    @property
    def regions(self) -> tuple[str, ...]:
        """Return the regions that have any of the layers."""
        return tuple(dict.fromkeys(region for layer in self.layers for region in layer.arns))


def built(
    project: str,
    version: str,
    zips: Iterable[LayerZip],
    stacks: Mapping[tuple[str, str], tuple[str, ...]],
    *,
    base: Path,
    bucket: Bucket | None = None,
) -> References:
    """Return references to zips. `stacks` is (target, stack) -> layers; paths start from `base`."""
    found = list(zips)
    keys = _keys([(one.layer, one.targets) for one in found])
    layers = tuple(
        Reference(
            key=key,
            identifier=identifier,
            layer=one.layer,
            name=one.name,
            targets=one.targets,
            zip=one,
            path=os.path.relpath(one.path, base),
            object=bucket.key(one.sha256) if bucket else None,
        )
        for key, identifier, one in zip(keys, _identifiers(keys), found, strict=True)
    )
    return References(
        project=project,
        version=version,
        layers=layers,
        stacks=_stacks(layers, stacks),
        bucket=bucket.name if bucket else None,
    )


def published(
    record: Record,
    stacks: Mapping[tuple[str, str], tuple[str, ...]],
    *,
    account: str | None = None,
    regions: Iterable[str] = (),
) -> References:
    """Return references to published versions. Raises UsageError for none, and for several accounts."""
    wanted = set(regions)
    rows = [row for row in record.layers if row.arn and (not wanted or row.region in wanted)]
    accounts = sorted({row.account for row in rows})
    if account is not None:
        rows = [row for row in rows if row.account == account]
    elif len(accounts) > 1:
        what = f"the layers are published in several accounts: {', '.join(accounts)}"
        raise UsageError(what, fix="choose one: --account")
    if not rows:
        raise UsageError("nothing is published there", where="the record", fix="run `layerkit publish`")
    by_name: dict[str, list[LayerRow]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    keys = _keys([(some[0].layer, some[0].targets) for some in by_name.values()])
    layers = tuple(
        Reference(
            key=key,
            identifier=identifier,
            layer=some[0].layer,
            name=name,
            targets=some[0].targets,
            arns={row.region: row.arn for row in some if row.arn},
        )
        for key, identifier, (name, some) in zip(keys, _identifiers(keys), by_name.items(), strict=True)
    )
    return References(
        project=record.project.name,
        version=record.project.version,
        layers=layers,
        stacks=_stacks(layers, stacks),
    )


def _keys(layers: list[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Return a key for each layer: its name, with the target where several have that name."""
    names = [name for name, _ in layers]
    keys = []
    for name, targets in layers:
        suffix = f"-{re.sub(r'[^a-z0-9_]+', '', targets[0].replace('python', 'py'))}"
        keys.append(name + suffix if names.count(name) > 1 else name)
    return keys


def _identifiers(keys: Iterable[str]) -> list[str]:
    """Return each key without what no logical name takes, words with capitals; a number where two are one."""
    found: list[str] = []
    for key in keys:
        word = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", key))
        found.append(f"{word}{len(found)}" if word in found else word)
    return found


def _stacks(
    layers: Iterable[Reference], stacks: Mapping[tuple[str, str], tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Return the stacks whose layers are all there, by name, with the target where several have that name."""
    keys = {(target, layer.layer): layer.key for layer in layers for target in layer.targets}
    names = [stack for _, stack in stacks]
    found = {}
    for (target, stack), needed in stacks.items():
        if all((target, layer) in keys for layer in needed):
            name = (
                f"{stack}-{target.replace('python', 'py').replace('.', '')}"
                if names.count(stack) > 1
                else stack
            )
            found[name] = tuple(keys[target, layer] for layer in needed)
    return found
