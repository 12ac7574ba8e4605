"""What other tools are told of the layers; the tools themselves are asked in integration/test_exports.py."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]
from msgspec.structs import replace

from layerkit.errors import UsageError
from layerkit.publish.bucket import Bucket
from layerkit.publish.export import FORMATS, References, built
from layerkit.publish.export.yaml import dumped
from layerkit.publish.wanted import LayerZip
from layerkit.schemas import schema
from shop import BASE, WEB, Shop

if TYPE_CHECKING:
    from pathlib import Path

    from aws import Cloud

ARN = "arn:aws:lambda:{}:123456789012:layer:{}:1"


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: Cloud) -> Shop:
    assert cloud.requests == []
    return Shop(tmp_path / "shop", capsys)


def exported(shop: Shop, form: str, *arguments: str) -> str:
    said = shop.run("export", "--format", form, *arguments)
    assert said.code == 0, said.err
    return said.out


def loaded(text: str) -> Any:
    return yaml.safe_load(text)


def test_sam_has_the_zips_and_every_word_of_a_publish(shop: Shop, tmp_path: Path) -> None:
    to = tmp_path / "deploy" / "template.yaml"
    assert exported(shop, "sam", "--to", str(to)) == f"{to}\n"
    template = loaded(to.read_text())
    assert template["Transform"] == "AWS::Serverless-2016-10-31"
    web = template["Resources"]["WebLayer"]
    assert web["Type"] == "AWS::Serverless::LayerVersion"
    assert (to.parent / web["Properties"]["ContentUri"]).resolve() == shop.zip_path("web")
    assert web["Properties"]["LayerName"] == WEB
    assert web["Properties"]["CompatibleRuntimes"] == ["python3.12"]
    assert web["Properties"]["CompatibleArchitectures"] == ["x86_64"]
    assert web["Properties"]["LicenseInfo"] == "MIT"
    assert template["Outputs"]["ApiStackArns"]["Value"] == {
        "Fn::Join": [",", [{"Ref": "BaseLayer"}, {"Ref": "WebLayer"}]]
    }


def test_cloudformation_names_the_zips_by_their_digests_and_says_how_they_get_there(shop: Shop) -> None:
    said = shop.run("export", "--format", "cloudformation", "--s3-bucket", "zips", "--s3-prefix", "l/")
    template = loaded(said.out)
    digest = next(layer.zip.sha256 for layer in shop.manifest.layers if layer.name == "web")
    assert template["Resources"]["WebLayer"]["Properties"]["Content"] == {
        "S3Bucket": {"Ref": "LayerBucket"},
        "S3Key": f"l/{digest}.zip",
    }
    assert template["Parameters"]["LayerBucket"]["Default"] == "zips"
    assert f" s3://zips/l/{digest}.zip" in said.err
    template = loaded(exported(shop, "cloudformation", "--s3-bucket", "zips-{account}-{region}"))
    assert template["Resources"]["WebLayer"]["Properties"]["Content"]["S3Bucket"] == {
        "Fn::Sub": "zips-${AWS::AccountId}-${AWS::Region}"
    }
    assert "Parameters" not in template


def test_terraform_of_built_zips(shop: Shop, tmp_path: Path) -> None:
    exported(shop, "terraform", "--to", str(tmp_path / "layers.tf"))
    text = (tmp_path / "layers.tf").read_text()
    web = next(layer for layer in shop.manifest.layers if layer.name == "web")
    assert 'resource "aws_lambda_layer_version" "web" {' in text
    assert f'"{web.zip.code_sha256}"' in text
    assert f'"${{path.module}}/shop/dist/layers/python3.12-x86_64/{web.zip.file}"' in text
    assert "api  = [aws_lambda_layer_version.base.arn, aws_lambda_layer_version.web.arn]" in text


def test_terraform_of_a_large_zip_goes_through_a_bucket(shop: Shop) -> None:
    def large(layer: Any) -> Any:
        return replace(layer, zip=replace(layer.zip, zipped=52_428_801)) if layer.name == "web" else layer

    shop.change(lambda manifest: replace(manifest, layers=tuple(map(large, manifest.layers))))
    said = shop.run("export", "--format", "terraform")
    assert said.code == 2
    assert "name one: --s3-bucket" in said.err
    text = exported(shop, "terraform", "--s3-bucket", "zips")
    assert 'resource "aws_s3_object" "web" {' in text
    assert "s3_key                   = aws_s3_object.web.key" in text
    assert text.count("filename ") == 1


def test_serverless_refers_to_layers_as_the_framework_names_them(shop: Shop) -> None:
    found = loaded(exported(shop, "serverless"))
    assert found["layers"]["web"]["package"]["artifact"].endswith("py312-small-1.2-web.zip")
    assert found["functions"]["api"] == [{"Ref": "BaseLambdaLayer"}, {"Ref": "WebLambdaLayer"}]


def test_cdk_is_python_that_compiles(shop: Shop) -> None:
    text = exported(shop, "cdk")
    ast.parse(text)
    assert "lambda_.Code.from_asset(str(_HERE / " in text
    assert "'api': ['base', 'web']" in text


def test_json_for_scripts_of_what_is_built_and_what_is_published(shop: Shop) -> None:
    found = json.loads(exported(shop, "json"))
    jsonschema.validate(found, schema("references"))
    assert found["stacks"] == {"api": ["base", "web"], "tool": ["base"]}
    assert found["layers"]["web"]["arns"] == {}
    shop.publish("--region", "eu-west-1", "--region", "us-east-1")
    found = json.loads(exported(shop, "json", "--published"))
    jsonschema.validate(found, schema("references"))
    assert found["stacks"] == {"api": ["base", "web"], "tool": ["base"]}
    assert found["layers"]["base"]["arns"] == {
        region: ARN.format(region, BASE) for region in ("eu-west-1", "us-east-1")
    }


def test_published_versions_for_every_tool(shop: Shop) -> None:
    shop.publish("--region", "eu-west-1", "--region", "us-east-1")
    base, web = ARN.format("us-east-1", BASE), ARN.format("us-east-1", WEB)
    for form in ("sam", "cloudformation"):
        template = loaded(exported(shop, form, "--published"))
        assert template["Mappings"]["LayerArns"]["us-east-1"] == {"Base": base, "Web": web}
        assert template["Resources"]["WebParameter"]["Properties"]["Name"] == "/layerkit/small/1.2/web"
        assert list(template["Outputs"]) == ["BaseLayerArn", "WebLayerArn", "ApiStackArns", "ToolStackArns"]
    text = exported(shop, "terraform", "--published")
    assert f'web  = "{web}"' in text
    assert "resource" not in text
    text = exported(shop, "cdk", "--published")
    ast.parse(text)
    assert "from_layer_version_arn" in text
    only = ("--published", "--region", "us-east-1")
    assert loaded(exported(shop, "serverless", *only))["functions"]["api"] == [base, web]
    parameters = json.loads(exported(shop, "ssm", *only))
    assert [one["Value"] for one in parameters] == [base, web, f"{base},{web}", base]


def test_what_is_not_to_be_had(shop: Shop) -> None:
    said = shop.run("export", "--format", "json", "--published")
    assert said.code == 9
    assert "publish first" in said.err
    said = shop.run("export", "--format", "ssm")
    assert said.code == 2
    assert "export what is published: --published" in said.err
    shop.publish("--region", "eu-west-1", "--region", "us-east-1")
    for form in ("ssm", "serverless"):
        said = shop.run("export", "--format", form, "--published")
        assert said.code == 2
        assert "choose one: --region" in said.err
    said = shop.run("export", "--format", "json", "--published", "--region", "eu-north-1")
    assert said.code == 2
    assert "nothing is published there" in said.err
    shop.publish("--role-arn", "arn:aws:iam::111122223333:role/x")
    said = shop.run("export", "--format", "json", "--published")
    assert said.code == 2
    assert "in several accounts: 111122223333, 123456789012" in said.err
    assert shop.run("export", "--format", "json", "--published", "--account", "111122223333").code == 0


def test_a_record_that_is_none(shop: Shop, tmp_path: Path) -> None:
    named = '"project": {"name": "a", "version": "1"}, "layers": [], "functions": []'
    for content in ("{", "{}", "[]", f"{{{named}}}", f'{{"schema": "layerkit/published/2", {named}}}'):
        (tmp_path / "record.json").write_text(content)
        said = shop.run(
            "export", "--format", "json", "--published", "--record", str(tmp_path / "record.json")
        )
        assert said.code == 3
        assert "this is no record of publishing" in said.err


def zip_of(layer: str, target: str, tmp_path: Path) -> LayerZip:
    runtime, arch = target.split("-")
    return LayerZip(
        name=f"n-{layer}-{arch}",
        layer=layer,
        path=tmp_path / f"{layer}.zip",
        sha256="a" * 64,
        code_sha256="",
        zipped=1,
        unzipped=1,
        runtimes=(runtime,),
        architectures=(arch,),
        description='a "quoted" ${x} %{y} é\\',
        licence="",
        targets=(target,),
    )


def references(tmp_path: Path) -> References:
    """Return layers of two targets, with names that tools find hard."""
    targets = ("python3.12-x86_64", "python3.12-arm64")
    zips = [zip_of(layer, target, tmp_path) for target in targets for layer in ("a-b", "aB", "1st")]
    stacks = {(target, "all-of_it"): ("a-b", "aB", "1st") for target in targets}
    return built("small", "1.2", zips, stacks, base=tmp_path, bucket=Bucket(name="zips"))


def test_several_targets_and_hard_names_stay_apart(tmp_path: Path) -> None:
    found = references(tmp_path)
    assert [one.key for one in found.layers[:2]] == ["a-b-py312x86_64", "aB-py312x86_64"]
    assert len({one.identifier for one in found.layers}) == 6
    assert all(one.identifier.isalnum() for one in found.layers)
    assert sorted(found.stacks) == ["all-of_it-py312-arm64", "all-of_it-py312-x86_64"]
    template = loaded(FORMATS["sam"](found))
    assert len(template["Resources"]) == 6
    assert {one["Properties"]["Description"] for one in template["Resources"].values()} == {
        'a "quoted" ${x} %{y} é\\'
    }
    assert '"a \\"quoted\\" $${x} %%{y} é\\\\"' in FORMATS["terraform"](found)
    assert 'resource "aws_lambda_layer_version" "layer-1st-py312x86_64"' in FORMATS["terraform"](found)
    ast.parse(FORMATS["cdk"](found))
    assert len(loaded(FORMATS["serverless"](found))["layers"]) == 6
    with pytest.raises(UsageError):
        FORMATS["ssm"](found)


def test_two_keys_that_become_one_identifier(tmp_path: Path) -> None:
    zips = [zip_of(layer, "python3.12-x86_64", tmp_path) for layer in ("a-b", "a_b")]
    found = built("small", "1", zips, {}, base=tmp_path)
    assert [one.identifier for one in found.layers] == ["AB", "AB1"]


@pytest.mark.parametrize(
    "value",
    [
        {
            "a": "yes",
            "b": "1.0",
            "c": "x: y",
            "d": "# no",
            "e": "",
            "f": " pad ",
            "g": "null",
            "AWS::S": "AWS::S",
        },
        {
            "list": [],
            "map": {},
            "nested": [["a", ["b"]], {"x": [{"y": "z"}], "n": 1, "t": True, "none": None}],
        },
        [{"a": {"b": ["c"]}}, "line\nbreak", 'quote " \\ é \u2028'],
    ],
)
def test_yaml_reads_back_as_what_it_was(value: Any) -> None:
    assert yaml.safe_load(dumped(value)) == value
