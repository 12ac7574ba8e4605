"""The AWS CDK: a Python module with one function that gives a stack its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerkit.publish.export.references import Reference, References

_ARCHITECTURES = {"x86_64": "X86_64", "arm64": "ARM_64"}
_HEAD = '''"""Lambda layers of {project} {version}."""

from pathlib import Path

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_

'''
_BUILT = '''_HERE = Path(__file__).parent


def layers(scope):
    """Return the layers by name, as assets of `scope`."""
    return {{
{entries}    }}


'''
_ENTRY = """        {key!r}: lambda_.LayerVersion(
            scope,
            {identifier!r},
            code=lambda_.Code.from_asset(str(_HERE / {path!r})),
            layer_version_name={name!r},
            description={description!r},
            license={licence!r},
            compatible_runtimes=[{runtimes}],
            compatible_architectures=[{architectures}],
            removal_policy=RemovalPolicy.RETAIN,
        ),
"""
_PUBLISHED = '''ARNS = {{
{entries}}}


def layers(scope):
    """Return the layers by name, as published in the region of `scope`'s stack."""
    return {{
        name: lambda_.LayerVersion.from_layer_version_arn(scope, f"{{name}}Layer", arn)
        for name, arn in ARNS[Stack.of(scope).region].items()
    }}


'''
_STACKS = '''STACKS = {{
{entries}}}


def layers_of(scope, stack):
    """Return the layers of a stack, the lowest first, as a function's `layers` wants them."""
    found = layers(scope)
    return [found[name] for name in STACKS[stack]]
'''


def cdk(references: References) -> str:
    """Return the module."""
    head = _HEAD.format(project=references.project, version=references.version)
    if references.regions:
        head = head.replace("from pathlib import Path\n\n", "").replace("RemovalPolicy, ", "")
        body = _PUBLISHED.format(entries="".join(map(_region, *zip(*_arns(references), strict=True))))
    else:
        head = head.replace("RemovalPolicy, Stack", "RemovalPolicy")
        body = _BUILT.format(entries="".join(_entry(one) for one in references.layers))
    stacks = "".join(f"    {stack!r}: {list(keys)!r},\n" for stack, keys in references.stacks.items())
    return head + body + _STACKS.format(entries=stacks)


def _arns(references: References) -> list[tuple[str, dict[str, str]]]:
    return [
        (region, {one.key: one.arns[region] for one in references.layers if region in one.arns})
        for region in references.regions
    ]


def _region(region: str, arns: dict[str, str]) -> str:
    lines = "".join(f"        {key!r}: {arn!r},\n" for key, arn in arns.items())
    return f"    {region!r}: {{\n{lines}    }},\n"


def _entry(one: Reference) -> str:
    if one.zip is None:
        return ""
    runtimes = (f"lambda_.Runtime({name!r}, lambda_.RuntimeFamily.PYTHON)" for name in one.zip.runtimes)
    architectures = (f"lambda_.Architecture.{_ARCHITECTURES[name]}" for name in one.zip.architectures)
    return _ENTRY.format(
        key=one.key,
        identifier=f"{one.identifier}Layer",
        path=one.path,
        name=one.name,
        description=one.zip.description,
        licence=one.zip.licence or None,
        runtimes=", ".join(runtimes),
        architectures=", ".join(architectures),
    )
