"""Terraform: resources of built zips, or the ARNs of published versions as locals and outputs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from layerkit.errors import UsageError

if TYPE_CHECKING:
    from layerkit.publish.export.references import Reference, References


def terraform(references: References) -> str:
    """Return a module's file. Raises UsageError for a zip that needs a bucket where none is named."""
    if references.regions:
        return _arns(references)
    blocks = [block for one in references.layers for block in _resources(references, one)]
    arns = {one.key: _Raw(f"aws_lambda_layer_version.{_name(one.key)}.arn") for one in references.layers}
    stacks = {stack: [arns[key] for key in keys] for stack, keys in references.stacks.items()}
    return "\n".join(
        [*blocks, _block('output "layers"', {"value": arns}), _block('output "stacks"', {"value": stacks})]
    )


def _resources(references: References, one: Reference) -> list[str]:
    """Return the resource of a layer, and before it its object where it goes through a bucket."""
    zip_, name = one.zip, _name(one.key)
    if zip_ is None:
        return []
    body: dict[str, Any] = {
        "layer_name": one.name,
        "description": zip_.description,
        "compatible_runtimes": list(zip_.runtimes),
        "compatible_architectures": list(zip_.architectures),
        **({"license_info": zip_.licence} if zip_.licence else {}),
        "source_code_hash": zip_.code_sha256,
        "skip_destroy": True,
    }
    source = _Raw(f'"${{path.module}}/{_escaped(one.path)}"')
    if not one.large:
        return [_block(f'resource "aws_lambda_layer_version" "{name}"', {"filename": source, **body})]
    if references.bucket is None or "{" in references.bucket:
        what = "the zip is too large to be sent to Lambda itself, and nothing says which bucket it goes to"
        raise UsageError(what, where=f"layer {one.layer}", fix="name one: --s3-bucket")
    upload = {"bucket": references.bucket, "key": one.object, "source": source, "source_hash": zip_.sha256}
    place = {
        "s3_bucket": _Raw(f"aws_s3_object.{name}.bucket"),
        "s3_key": _Raw(f"aws_s3_object.{name}.key"),
    }
    return [
        _block(f'resource "aws_s3_object" "{name}"', upload),
        _block(f'resource "aws_lambda_layer_version" "{name}"', {**place, **body}),
    ]


def _arns(references: References) -> str:
    """Return locals by region, which need no provider."""
    regions = {
        region: {one.key: one.arns[region] for one in references.layers if region in one.arns}
        for region in references.regions
    }
    stacks = {
        region: {
            stack: [arns[key] for key in keys]
            for stack, keys in references.stacks.items()
            if all(key in arns for key in keys)
        }
        for region, arns in regions.items()
    }
    local = _block("locals", {"layerkit_layers": regions, "layerkit_stacks": stacks})
    outputs = [
        _block(f'output "{what}"', {"value": _Raw(f"local.layerkit_{what}")}) for what in ("layers", "stacks")
    ]
    return "\n".join([local, *outputs])


class _Raw(str):
    """An expression, which stands as it is."""

    __slots__ = ()


def _block(head: str, body: dict[str, Any]) -> str:
    """Return a block, its signs of equality beneath one another, as `terraform fmt` lays it out."""
    return "\n".join([f"{head} {{", *(f"  {line}" for line in _entries(body)), "}", ""])


def _entries(body: dict[str, Any]) -> list[str]:
    """Return the lines of a map or a block; a value of several lines begins a new alignment."""
    lines: list[str] = []
    group: list[tuple[str, list[str]]] = []
    for key, value in body.items():
        group.append((_key(key), _value(value)))
        if len(group[-1][1]) > 1:
            lines += _aligned(group)
            group = []
    return lines + _aligned(group)


def _aligned(group: list[tuple[str, list[str]]]) -> list[str]:
    """Return entries with one column of signs; one of several lines has its own."""
    single = [key for key, value in group if len(value) == 1]
    width = max(map(len, single), default=0)
    lines = []
    for key, (first, *rest) in group:
        lines += [f"{key if rest else key.ljust(width)} = {first}", *rest]
    return lines


def _value(value: Any) -> list[str]:
    """Return the lines of a value."""
    if isinstance(value, dict):
        return ["{", *(f"  {line}" for line in _entries(value)), "}"] if value else ["{}"]
    if isinstance(value, list):
        return ["[" + ", ".join(_value(item)[0] for item in value) + "]"]
    if isinstance(value, _Raw):
        return [str(value)]
    return [f'"{_escaped(value)}"' if isinstance(value, str) else json.dumps(value)]


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", text) else f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """Return text as it stands between quotes: nothing in it is taken for an expression."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("${", "$${").replace("%{", "%%{")


def _name(key: str) -> str:
    """Return the name of a resource, which must not begin with a digit."""
    return key if re.match(r"[A-Za-z_]", key) else f"layer-{key}"
