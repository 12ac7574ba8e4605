"""The Serverless Framework: a file whose parts `${file(...)}` takes into serverless.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerkit.errors import UsageError
from layerkit.publish.export.yaml import dumped

if TYPE_CHECKING:
    from layerkit.publish.export.references import Reference, References


def serverless(references: References) -> str:
    """Return `layers` to deploy and, per stack, what a function's `layers` shall be.

    Published versions need no `layers`. Raises UsageError for those of several regions.
    """
    if references.regions:
        if len(references.regions) > 1:
            what = f"the layers are published in several regions: {', '.join(references.regions)}"
            raise UsageError(what, fix="choose one: --region")
        (region,) = references.regions
        arns = {one.key: one.arns[region] for one in references.layers}
        stacks = {stack: [arns[key] for key in keys] for stack, keys in references.stacks.items()}
        return dumped({"arns": arns, "functions": stacks})
    names = {one.key: {"Ref": f"{_normalized(one.key)}LambdaLayer"} for one in references.layers}
    return dumped({
        "layers": {one.key: _layer(one) for one in references.layers},
        "functions": {stack: [names[key] for key in keys] for stack, keys in references.stacks.items()},
    })  # fmt: skip


def _layer(one: Reference) -> dict[str, Any]:
    if one.zip is None:
        return {}
    return {
        "name": one.name,
        "description": one.zip.description,
        "package": {"artifact": one.path},
        "compatibleRuntimes": list(one.zip.runtimes),
        "compatibleArchitectures": list(one.zip.architectures),
        **({"licenseInfo": one.zip.licence} if one.zip.licence else {}),
        "retain": True,
    }


def _normalized(key: str) -> str:
    """Return a key as the framework writes it in the names of resources."""
    word = key.replace("-", "Dash").replace("_", "Underscore")
    return word[:1].upper() + word[1:]
