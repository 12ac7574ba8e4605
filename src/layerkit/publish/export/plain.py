"""JSON for scripts, and parameters for AWS Systems Manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layerkit.errors import UsageError
from layerkit.publish.export.cloudformation import parameter_name

if TYPE_CHECKING:
    from layerkit.publish.export.references import Reference, References

SCHEMA = "layerkit/references/1"


def document(references: References) -> str:
    """Return all of it as JSON."""
    found = {
        "schema": SCHEMA,
        "project": references.project,
        "version": references.version,
        "layers": {one.key: _layer(one) for one in references.layers},
        "stacks": {stack: list(keys) for stack, keys in references.stacks.items()},
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _layer(one: Reference) -> dict[str, Any]:
    return {
        "layer": one.layer,
        "name": one.name,
        "targets": list(one.targets),
        "arns": dict(one.arns),
        "zip": one.path or None,
        "sha256": one.zip.sha256 if one.zip else None,
        "code_sha256": one.zip.code_sha256 if one.zip else None,
    }


def ssm(references: References) -> str:
    """Return a list of what `aws ssm put-parameter --cli-input-json` takes, one per layer and stack.

    Raises UsageError for built zips, which have no ARNs, and for versions of several regions.
    """
    if len(references.regions) != 1:
        what = f"parameters are of one region, and these are of {', '.join(references.regions) or 'none'}"
        fix = "choose one: --region" if references.regions else "export what is published: --published"
        raise UsageError(what, where="the format ssm", fix=fix)
    (region,) = references.regions
    arns = {one.key: one.arns[region] for one in references.layers}
    found = [
        _parameter(parameter_name(references, one), "String", arns[one.key]) for one in references.layers
    ]
    base = f"/layerkit/{references.project}/{references.version}/stacks"
    found += [
        _parameter(f"{base}/{stack}", "StringList", ",".join(arns[key] for key in keys))
        for stack, keys in references.stacks.items()
        if keys
    ]
    return json.dumps(found, indent=2) + "\n"


def _parameter(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Value": value, "Overwrite": True}
