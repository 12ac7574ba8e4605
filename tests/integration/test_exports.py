"""The tools that exports are for take them: cfn-lint, Terraform, the CDK, the AWS CLI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from shop import BASE, WEB, Shop
from tools import AWS_CLI, CDK, CFN_LINT, python_with, tool

if TYPE_CHECKING:
    from pathlib import Path

    from aws import Cloud

pytestmark = pytest.mark.integration
_PLACES = ("--region", "eu-west-1", "--region", "us-east-1")


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: Cloud) -> Shop:
    """Give a shop that is built for two architectures and published to two regions."""
    assert cloud.requests == []
    shop = Shop(tmp_path / "shop", capsys)
    shop.configure(settings='architectures = ["x86_64", "arm64"]')
    shop.also_for("python3.12", "arm64")
    assert shop.publish(*_PLACES).code == 0
    return shop


def exported(shop: Shop, form: str, name: str, *arguments: str) -> Path:
    path = shop.root / name
    said = shop.run("export", "--format", form, "--to", str(path), *arguments)
    assert said.code == 0, said.err
    return path


def test_templates_pass_cfn_lint(shop: Shop) -> None:
    paths = [
        exported(shop, form, f"{form}{'-'.join(published)}.yaml", *published)
        for form in ("sam", "cloudformation")
        for published in ((), ("--published",))
    ]
    done = tool(CFN_LINT, "cfn-lint", "--", *map(str, paths), folder=shop.root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for path in paths:
        text = path.read_text().replace("CompatibleRuntimes", "CompatibleRuntime").replace("Value:", "Valu:")
        path.write_text(text)
    done = tool(CFN_LINT, "cfn-lint", "--format", "parseable", "--", *map(str, paths), folder=shop.root)
    assert done.returncode != 0
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} >= set(map(str, paths))


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("there is no terraform here")
    environment = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    environment.pop("TF_CLI_CONFIG_FILE", None)
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("published", [(), ("--published",)], ids=["built", "published"])
def test_terraform_has_nothing_to_mend(shop: Shop, published: tuple[str, ...]) -> None:
    path = exported(shop, "terraform", "layers.tf", *published)
    done = terraform(path.parent, "fmt", "-check", "-diff", path.name)
    assert (done.returncode, done.stdout) == (0, "")


def test_terraform_validates_published_versions_and_knows_their_arns(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    shutil.copy(exported(shop, "terraform", "layers.tf", "--published"), folder)
    assert terraform(folder, "init", "-backend=false", "-input=false").returncode == 0
    done = terraform(folder, "validate", "-json")
    assert json.loads(done.stdout)["valid"], done.stdout
    assert terraform(folder, "apply", "-auto-approve", "-input=false").returncode == 0
    stacks = json.loads(terraform(folder, "output", "-json", "stacks").stdout)
    assert stacks["us-east-1"]["api-py312-x86_64"] == [
        f"arn:aws:lambda:us-east-1:123456789012:layer:{name}:1" for name in (BASE, WEB)
    ]


def test_terraform_validates_built_zips(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    shutil.copy(exported(shop, "terraform", "layers.tf"), folder)
    init = terraform(folder, "init", "-backend=false", "-input=false", "-no-color")
    if init.returncode:
        pytest.skip(f"terraform cannot get the provider for AWS: {' '.join(init.stderr.split())[:200]}")
    done = terraform(folder, "validate", "-json")
    assert json.loads(done.stdout)["valid"], done.stdout


_APP = """
import json, sys
from aws_cdk import App, Environment, Stack
import layers

app = App()
stack = Stack(app, "Shop", env=Environment(region="us-east-1", account="123456789012"))
found = layers.layers_of(stack, "api-py312-arm64")
template = app.synth().get_stack_by_name("Shop").template
print(json.dumps([template.get("Resources", {}), [stack.resolve(one.layer_version_arn) for one in found]]))
"""


@pytest.mark.parametrize("published", [(), ("--published",)], ids=["built", "published"])
def test_the_cdk_makes_a_stack_of_it(shop: Shop, published: tuple[str, ...]) -> None:
    if shutil.which("node") is None:
        pytest.skip("the CDK needs node, and there is none here")
    exported(shop, "cdk", "layers.py", *published)
    (shop.root / "app.py").write_text(_APP)
    done = python_with(CDK, "app.py", folder=shop.root)
    assert done.returncode == 0, done.stderr
    resources, arns = json.loads(done.stdout.splitlines()[-1])
    if published:
        names = [f"{BASE}-arm64", f"{WEB}-arm64"]
        assert arns == [f"arn:aws:lambda:us-east-1:123456789012:layer:{name}:1" for name in names]
        assert resources == {}
    else:
        layers = [one["Properties"] for one in resources.values()]
        assert {one["LayerName"] for one in layers} == {BASE, WEB, f"{BASE}-arm64", f"{WEB}-arm64"}
        assert all(one["CompatibleRuntimes"] == ["python3.12"] for one in layers)
        assert len(arns) == 2


def aws(shop: Shop, *arguments: str) -> Any:
    """Ask the plain AWS CLI."""
    done = tool(AWS_CLI, "aws", "--output", "json", *arguments, folder=shop.root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_aws_cli_sees_what_was_published(shop: Shop, cloud: Cloud) -> None:
    found = aws(shop, "lambda", "get-layer-version", "--layer-name", WEB, "--version-number", "1")
    web = next(layer for layer in shop.manifest.layers if layer.name == "web")
    assert found["Content"]["CodeSha256"] == web.zip.code_sha256
    assert found["Content"]["CodeSize"] == web.zip.zipped
    assert found["CompatibleRuntimes"] == ["python3.12"]
    assert web.zip.sha256 in found["Description"]
    cloud.function("api", shop.zip("base"))
    share = ("--allow-account", "111122223333", "--update-function", "api")
    assert shop.publish("--region", "eu-west-1", *share).code == 0
    policy = aws(shop, "lambda", "get-layer-version-policy", "--layer-name", WEB, "--version-number", "1")
    assert "layerkit-account-111122223333" in policy["Policy"]
    function = aws(shop, "lambda", "get-function-configuration", "--function-name", "api")
    assert [layer["Arn"].rpartition(":layer:")[2] for layer in function["Layers"]] == [
        f"{BASE}:1",
        f"{WEB}:1",
    ]
    prune = ("--keep", "0", "--also-shared", "--delete", "--region", "eu-west-1")
    assert shop.run("prune", *prune).code == 0
    kept = aws(shop, "lambda", "list-layer-versions", "--layer-name", WEB)["LayerVersions"]
    assert [one["Version"] for one in kept] == [1]
    gone = aws(shop, "lambda", "list-layer-versions", "--layer-name", f"{WEB}-arm64")["LayerVersions"]
    assert gone == []


def test_the_aws_cli_takes_the_parameters(shop: Shop) -> None:
    path = exported(shop, "ssm", "parameters.json", "--published", "--region", "eu-west-1")
    for one in json.loads(path.read_text()):
        (shop.root / "one.json").write_text(json.dumps(one))
        aws(shop, "ssm", "put-parameter", "--cli-input-json", f"file://{shop.root / 'one.json'}")
    stack = "/layerkit/small/1.2/stacks/api-py312-x86_64"
    found = aws(shop, "ssm", "get-parameter", "--name", stack)["Parameter"]["Value"]
    assert [arn.rpartition(":layer:")[2] for arn in found.split(",")] == [f"{BASE}:1", f"{WEB}:1"]


def test_the_aws_cli_copies_the_zips_to_where_the_template_looks(shop: Shop, cloud: Cloud) -> None:
    where = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    cloud.client("s3").create_bucket(Bucket="zips", **where)
    said = shop.run(
        "export", "--format", "cloudformation", "--s3-bucket", "zips", "--to", str(shop.root / "t.yaml")
    )
    commands = [line.split() for line in said.err.splitlines() if line.startswith("aws s3 cp ")]
    assert len(commands) == 4
    for _, *command in commands:
        aws(shop, *command, "--only-show-errors")
    keys = {one["Key"] for one in cloud.client("s3").list_objects_v2(Bucket="zips")["Contents"]}
    assert keys == {f"{layer.zip.sha256}.zip" for layer in shop.manifest.layers}
