"""Templates of CloudFormation, plain or with SAM's transform, as `cfn-lint` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerkit.publish.export.yaml import dumped

if TYPE_CHECKING:
    from layerkit.publish.export.references import Reference, References

_HEAD = {"AWSTemplateFormatVersion": "2010-09-09"}
_SAM = {"Transform": "AWS::Serverless-2016-10-31"}
_KEEP = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
_BUCKET = "LayerBucket"


def sam(references: References) -> str:
    """Return a SAM template: `sam build` and `sam deploy` send the zips."""
    if references.regions:
        return dumped({**_HEAD, **_SAM, **_parameters(references)})
    resources = {
        f"{one.identifier}Layer": {
            "Type": "AWS::Serverless::LayerVersion",
            "Properties": {
                **_properties(one),
                "ContentUri": one.path,
                "RetentionPolicy": "Retain",
            },
        }
        for one in references.layers
    }
    return dumped({**_HEAD, **_SAM, **_about(references), "Resources": resources, **_outputs(references)})


def cloudformation(references: References) -> str:
    """Return a plain template: of built zips it takes those that lie in a bucket, under their digests."""
    if references.regions:
        return dumped({**_HEAD, **_parameters(references)})
    bucket = {"Type": "String", "Description": "The bucket that the zips were copied to"}
    named = _bucket_anywhere(references.bucket)
    if named is None and references.bucket:
        bucket["Default"] = references.bucket
    resources = {
        f"{one.identifier}Layer": {
            "Type": "AWS::Lambda::LayerVersion",
            **_KEEP,
            "Properties": {
                **_properties(one),
                "Content": {"S3Bucket": named or {"Ref": _BUCKET}, "S3Key": _key(one)},
            },
        }
        for one in references.layers
    }
    return dumped({
        **_HEAD,
        **_about(references),
        **({} if named else {"Parameters": {_BUCKET: bucket}}),
        "Resources": resources,
        **_outputs(references),
    })  # fmt: skip


def _bucket_anywhere(name: str | None) -> dict[str, str] | None:
    """Return a bucket whose name has the region or the account in it, as CloudFormation fills it in."""
    if name is None or "{" not in name:
        return None
    return {"Fn::Sub": name.format(region="${AWS::Region}", account="${AWS::AccountId}")}


def copies(references: References) -> list[str]:
    """Return the commands that put the zips where the plain template looks for them."""
    bucket = references.bucket or "BUCKET"
    return [f"aws s3 cp {one.path} s3://{bucket}/{_key(one)}" for one in references.layers]


def _key(one: Reference) -> str:
    return one.object or f"{one.zip.sha256 if one.zip else ''}.zip"


def _about(references: References) -> dict[str, str]:
    return {"Description": f"Lambda layers of {references.project} {references.version}"}


def _properties(one: Reference) -> dict[str, Any]:
    """Return what both kinds of resource call by the same names."""
    if one.zip is None:
        return {}
    return {
        "LayerName": one.name,
        "Description": one.zip.description,
        "CompatibleRuntimes": list(one.zip.runtimes),
        "CompatibleArchitectures": list(one.zip.architectures),
        **({"LicenseInfo": one.zip.licence} if one.zip.licence else {}),
    }


def _outputs(references: References) -> dict[str, Any]:
    """Return the ARNs of the layers, and those of each stack in its order."""
    outputs: dict[str, Any] = {
        f"{one.identifier}LayerArn": {"Value": {"Ref": f"{one.identifier}Layer"}} for one in references.layers
    }
    names = {one.key: f"{one.identifier}Layer" for one in references.layers}
    return {
        "Outputs": outputs | _stack_outputs(references, {key: {"Ref": name} for key, name in names.items()})
    }


def _stack_outputs(references: References, values: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, keys in references.stacks.items():
        words = "".join(word[:1].upper() + word[1:] for word in name.replace("_", "-").split("-"))
        if keys:
            found[f"{words}StackArns"] = {"Value": {"Fn::Join": [",", [values[key] for key in keys]]}}
    return found


def _parameters(references: References) -> dict[str, Any]:
    """Return a template of published versions: their ARNs per region, as parameters that others resolve."""
    mapping = {
        region: {one.identifier: one.arns[region] for one in references.layers if region in one.arns}
        for region in references.regions
    }
    values = {
        one.key: {"Fn::FindInMap": ["LayerArns", {"Ref": "AWS::Region"}, one.identifier]}
        for one in references.layers
    }
    resources = {
        f"{one.identifier}Parameter": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Name": parameter_name(references, one),
                "Type": "String",
                "Value": values[one.key],
            },
        }
        for one in references.layers
    }
    outputs = {f"{one.identifier}LayerArn": {"Value": values[one.key]} for one in references.layers}
    return {
        **_about(references),
        "Mappings": {"LayerArns": mapping},
        "Resources": resources,
        "Outputs": outputs | _stack_outputs(references, values),
    }


def parameter_name(references: References, one: Reference) -> str:
    """Return the name under which a layer's ARN is kept in the parameter store."""
    return f"/layerkit/{references.project}/{references.version}/{one.key}"
