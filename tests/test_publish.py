"""Publishing a built project: what AWS has afterwards, and what is said when something goes wrong."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from aws import Cloud, Fault, code_sha256
from shop import BASE, WEB, Shop

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
THROTTLED = Fault(status=429, code="TooManyRequestsException", message="Rate exceeded")
OTHER = "111122223333"


@pytest.fixture
def shop(tmp_path: Path, capsys: Capture, cloud: Cloud) -> Shop:
    assert cloud.asked("PublishLayerVersion") == 0
    return Shop(tmp_path / "shop", capsys)


def versions(cloud: Cloud, name: str, region: str = "eu-west-1") -> list[dict[str, Any]]:
    """Return what AWS has of a layer, the newest first."""
    found: list[dict[str, Any]] = cloud.client("lambda", region).list_layer_versions(LayerName=name)[
        "LayerVersions"
    ]
    return found


def statements(cloud: Cloud, name: str, number: int = 1) -> list[dict[str, Any]]:
    """Return what a version's policy says."""
    policy = cloud.client("lambda").get_layer_version_policy(LayerName=name, VersionNumber=number)["Policy"]
    found: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return found


def test_every_layer_is_published_with_all_that_is_known_of_it(shop: Shop, cloud: Cloud) -> None:
    said = shop.publish("--json")
    assert (said.code, said.statuses()) == (0, ["published", "published"])
    (web,) = versions(cloud, WEB)
    content = cloud.client("lambda").get_layer_version(LayerName=WEB, VersionNumber=1)["Content"]
    assert content["CodeSha256"] == code_sha256(shop.zip("web"))
    assert web["CompatibleRuntimes"] == ["python3.12"]
    assert web["CompatibleArchitectures"] == ["x86_64"]
    assert web["LicenseInfo"] == "MIT"
    digest = next(layer.zip.sha256 for layer in shop.manifest.layers if layer.name == "web")
    whole = hashlib.sha256(shop.manifest.text().encode()).hexdigest()[:16]
    expected = f"small 1.2 web sha256:{digest} manifest:{whole} flask==3.0 jinja2==3.0"
    assert web["Description"] == expected
    rows = said.json()["layers"]
    assert [row["arn"] for row in rows] == [
        f"arn:aws:lambda:eu-west-1:123456789012:layer:{name}:1" for name in (BASE, WEB)
    ]
    assert shop.record()["layers"] == rows


def test_a_second_run_publishes_nothing_and_says_so(shop: Shop, cloud: Cloud) -> None:
    shop.publish()
    said = shop.publish()
    assert said.code == 0
    assert "nothing to publish: every layer is there already" in said.err
    assert said.out.count("unchanged") == 2
    assert cloud.asked("PublishLayerVersion") == 2
    assert len(versions(cloud, BASE)) == len(versions(cloud, WEB)) == 1


def test_only_what_changed_is_published(shop: Shop, cloud: Cloud) -> None:
    shop.publish()
    cloud.client("lambda").publish_layer_version(LayerName=WEB, Content={"ZipFile": b"somebody else's"})
    assert shop.publish("--json").statuses() == ["unchanged", "published"]
    assert [one["Version"] for one in versions(cloud, WEB)] == [3, 2, 1]
    assert shop.publish("web", "--force", "--json").statuses() == ["published"]


def test_the_digest_counts_and_not_the_description(shop: Shop, cloud: Cloud) -> None:
    """What AWS says a version holds is the truth; a description can say anything."""
    digest = next(layer.zip.sha256 for layer in shop.manifest.layers if layer.name == "web")
    cloud.client("lambda").publish_layer_version(
        LayerName=WEB, Content={"ZipFile": b"a lie"}, Description=f"sha256:{digest}"
    )
    assert shop.publish("--json").statuses() == ["published", "published"]


def test_a_dry_run_shows_all_of_it_and_changes_nothing(shop: Shop, cloud: Cloud) -> None:
    cloud.function("api", shop.zip("base"))
    said = shop.publish("--dry-run", "--update-function", "api", "--allow-account", OTHER, "--json")
    assert (said.code, said.statuses()) == (0, ["to-publish", "to-publish"])
    found = said.json()
    assert found["dry_run"]
    assert found["record"] is None
    assert found["layers"][0]["granted"] == [f"layerkit-account-{OTHER}"]
    assert found["functions"][0]["status"] == "to-update"
    assert found["functions"][0]["layers"] == [f"{BASE}:(new)", f"{WEB}:(new)"]
    changing = {
        "PublishLayerVersion",
        "AddLayerVersionPermission",
        "UpdateFunctionConfiguration",
        "PutObject",
    }
    assert not changing & {one.operation for one in cloud.requests}
    assert not (shop.root / "dist" / "layers" / "small-1.2-published.json").exists()
    assert "to be published" in shop.publish("--dry-run").out


def test_several_regions_and_accounts_in_one_call(shop: Shop, cloud: Cloud) -> None:
    places = ["--region", "eu-west-1", "--region", "us-east-1"]
    roles = [
        "--role-arn",
        "arn:aws:iam::111122223333:role/one",
        "--role-arn",
        "arn:aws:iam::444455556666:role/two",
    ]
    said = shop.publish("base", *places, *roles, "--json")
    assert said.code == 0
    rows = said.json()["layers"]
    assert {(row["account"], row["region"]) for row in rows} == {
        (account, region) for account in (OTHER, "444455556666") for region in ("eu-west-1", "us-east-1")
    }
    assert all(row["arn"].split(":")[3:5] == [row["region"], row["account"]] for row in rows)
    assert shop.publish("base", *places, *roles, "--json").statuses() == ["unchanged"] * 4
    assert versions(cloud, BASE) == []  # nothing in the account that the roles were taken from


def test_profiles_that_lead_to_one_account_are_one_place(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "aws-credentials").write_text(
        "".join(
            f"[{name}]\naws_access_key_id = AKID{name}\naws_secret_access_key = x\n"
            for name in ("dev", "ops")
        )
    )
    said = shop.publish("--profile", "dev", "--profile", "ops", "base", "--json")
    assert said.statuses() == ["published"]


def test_settings_of_the_project_and_options_above_them(shop: Shop, cloud: Cloud) -> None:
    shop.configure(
        '[tool.layerkit.publish]\nname = "{project}-{layer}-{py}"\ndescription = "{sha256}"\n'
        f'regions = ["us-east-1"]\naccounts = ["{OTHER}"]\n'
        '[tool.layerkit.publish.functions]\napi = "prod"\n'
    )
    assert shop.publish("--dry-run").code == 12  # there is no function called prod
    shop.configure('[tool.layerkit.publish]\nname = "{project}-{layer}-{py}"\nregions = ["us-east-1"]\n')
    assert shop.publish("base", "--region", "eu-west-2").code == 0
    assert len(versions(cloud, "small-base-py312", "eu-west-2")) == 1
    assert versions(cloud, "small-base-py312", "us-east-1") == []


def test_throttling_is_waited_out(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PublishLayerVersion", *[THROTTLED] * 6)
    cloud.script("ListLayerVersions", *[THROTTLED] * 2)
    assert shop.publish("--json").statuses() == ["published", "published"]
    assert cloud.asked("PublishLayerVersion") == 8
    assert len(versions(cloud, BASE)) == 1


def test_what_aws_says_about_waiting_is_honoured(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PublishLayerVersion", replace(THROTTLED, headers={"Retry-After": "1"}))
    assert shop.publish("base").code == 0
    first, second = [one.time for one in cloud.requests if one.operation == "PublishLayerVersion"]
    assert 1.0 <= second - first < 3.0
    cloud.script("PublishLayerVersion", replace(THROTTLED, headers={"Retry-After": "86400"}))
    assert shop.publish("web").code == 12


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset=True, after=True),
        Fault(status=500, after=True),
        Fault(status=503, code="ServiceUnavailable", after=True),
        Fault(status=504, code="", after=True),
    ],
)
def test_a_publish_whose_answer_was_lost_is_looked_up_before_it_is_tried_again(
    shop: Shop, cloud: Cloud, fault: Fault
) -> None:
    cloud.script("PublishLayerVersion", fault)
    said = shop.publish("base", "--json")
    assert said.statuses() == ["published"]
    assert said.json()["layers"][0]["version"] == 1
    assert cloud.asked("PublishLayerVersion") == 1
    assert len(versions(cloud, BASE)) == 1


def test_a_publish_that_did_not_happen_is_tried_again(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PublishLayerVersion", Fault(reset=True), Fault(status=500), Fault(reset_at=100))
    assert shop.publish("base", "--json").statuses() == ["published"]
    assert cloud.asked("PublishLayerVersion") == 4
    assert len(versions(cloud, BASE)) == 1


def test_a_timed_out_publish_is_looked_up(shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.publish.places._READ", 1)
    cloud.script("PublishLayerVersion", Fault(wait=2, after=True, reset=True))
    said = shop.publish("base", "--json")
    assert said.statuses() == ["published"]
    assert len(versions(cloud, BASE)) == 1


DENIED = "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: lambda:PublishLayerVersion"
ERRORS = {
    "ExpiredTokenException": ("The token has expired", "the credentials have expired", "aws sso login"),
    "UnrecognizedClientException": ("Invalid token", "AWS does not know these credentials", "--profile"),
    "SignatureDoesNotMatch": ("token:FwoGZXIvYXdz", "the request's signature is wrong", "clock"),
    "AccessDeniedException": (
        DENIED,
        "access denied for lambda:PublishLayerVersion: User: arn:aws:iam::123456789012:user/ci is not",
        "have lambda:PublishLayerVersion allowed",
    ),
    "CodeStorageExceededException": (
        "Code storage limit exceeded.",
        "the code storage of this account and region is full",
        "layerkit prune",
    ),
    "InvalidParameterValueException": (
        "Unzipped size must be smaller",
        "AWS refused lambda:PublishLayerVersion: Unzipped size must be smaller",
        "",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_aws_refuses_is_one_clear_error_and_final(shop: Shop, cloud: Cloud, case: str) -> None:
    message, what, fix = ERRORS[case]
    cloud.script("PublishLayerVersion", Fault(status=403, code=case, message=message))
    said = shop.publish("--json")
    assert said.code == 12
    assert cloud.asked("PublishLayerVersion") == 1
    assert said.statuses() == ["failed", "not-tried"]
    assert "Traceback" not in said.err
    assert what in said.err
    assert f"error: 123456789012 eu-west-1 {BASE}" in said.err
    assert fix in said.err
    assert "secret-of-the-test" not in said.err + said.out
    assert "FwoGZXIvYXdz" not in said.err + said.out


def test_throttling_without_end_and_faults_of_aws_end_in_one_error(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PublishLayerVersion", *[THROTTLED] * 10)
    said = shop.publish("base")
    assert (said.code, cloud.asked("PublishLayerVersion")) == (12, 10)
    assert "AWS throttles lambda:PublishLayerVersion: Rate exceeded" in said.err
    cloud.script("ListLayerVersions", *[Fault(status=500, message="oh no")] * 5)
    said = shop.publish("base")
    assert "AWS has a fault of its own at lambda:ListLayerVersions: oh no" in said.err
    assert said.code == 12


def test_a_failure_in_one_region_leaves_the_others_and_the_next_run_finishes_it(
    shop: Shop, cloud: Cloud
) -> None:
    both = ["--region", "eu-west-1", "--region", "us-east-1"]
    shop.publish(*both[:2])
    cloud.script("PublishLayerVersion", Fault(status=400, code="CodeStorageExceededException"))
    cloud.client("lambda").publish_layer_version(LayerName=WEB, Content={"ZipFile": b"another"})
    said = shop.publish(*both[2:], "--json")
    assert said.statuses() == ["failed", "not-tried"]
    where = {(row["region"], row["layer"]): row["status"] for row in shop.record()["layers"]}
    assert where == {
        ("eu-west-1", "base"): "published",
        ("eu-west-1", "web"): "published",
        ("us-east-1", "base"): "failed",
        ("us-east-1", "web"): "not-tried",
    }
    assert "storage" in next(row["error"] for row in shop.record()["layers"] if row["status"] == "failed")
    assert shop.publish(*both, "--json").statuses() == ["unchanged", "published", "published", "published"]
    assert all(row["arn"] and row["error"] is None for row in shop.record()["layers"])


def test_a_version_that_holds_something_else_is_taken_back(shop: Shop, cloud: Cloud) -> None:
    """A zip that changes while it is sent, or an object that was exchanged in S3."""
    path = shop.zip_path("base")
    whole = path.read_bytes()
    shop.change(
        lambda manifest: replace(
            manifest,
            layers=tuple(
                replace(layer, zip=replace(layer.zip, code_sha256=code_sha256(b"?")))
                for layer in manifest.layers
            ),
        )
    )
    said = shop.publish("base")
    assert said.code == 12
    assert "the new version did not hold the zip" in said.err
    assert versions(cloud, BASE) == []
    assert path.read_bytes() == whole


def test_a_zip_that_is_not_the_one_that_was_built_goes_nowhere(shop: Shop, cloud: Cloud) -> None:
    shop.zip_path("base").write_bytes(b"changed since")
    said = shop.publish()
    assert said.code == 8
    assert "the zip is not the one that was built" in said.err
    shop.zip_path("base").unlink()
    assert shop.publish().code == 9
    assert cloud.asked("PublishLayerVersion") == 0


def test_layers_are_shared_once(shop: Shop, cloud: Cloud) -> None:
    share = ["--allow-account", OTHER, "--allow-organization", "o-a1b2c3d4e5", "--public", "--yes"]
    said = shop.publish("base", *share, "--json")
    assert said.code == 0
    granted = ["layerkit-account-111122223333", "layerkit-o-a1b2c3d4e5", "layerkit-public"]
    assert said.json()["layers"][0]["granted"] == granted
    found = statements(cloud, BASE)
    assert [one["Sid"] for one in found] == granted
    assert all(one["Action"] == "lambda:GetLayerVersion" for one in found)
    assert shop.publish("base", *share, "--json").json()["layers"][0]["granted"] == []
    assert len(statements(cloud, BASE)) == 3


def test_sharing_whose_answer_was_lost_is_not_done_twice(shop: Shop, cloud: Cloud) -> None:
    cloud.script("AddLayerVersionPermission", Fault(reset=True, after=True))
    assert shop.publish("base", "--allow-account", OTHER).code == 0
    assert len(statements(cloud, BASE)) == 1


def test_public_asks_and_nobody_there_is_no(shop: Shop, cloud: Cloud) -> None:
    said = shop.publish("--public")
    assert said.code == 2
    assert "say it beforehand: --yes" in said.err
    assert shop.publish("--public", "--dry-run").code == 0
    assert cloud.asked("AddLayerVersionPermission") == cloud.asked("PublishLayerVersion") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["numeric"], "no layer called 'numeric' was built"),
        (["bas"], "did you mean 'base'?"),
        (["--name-template", "{what}"], "the template has no word {what}"),
        (["--name-template", "{layer"], "the template cannot be read"),
        (["--name-template", "a b {layer}"], "'a b base' is no name for Lambda"),
        (["--name-template", "{layer}" * 40], "is no name for Lambda"),
        (["--name-template", "same"], "are different, and would both be called same"),
        (["--description", "{layers}"], "the template has no word {layers}"),
        (["--description", "x" * 257], "the description has 257 characters, Lambda takes 256"),
        (["--licence", "x" * 513], "the licence has 513 characters, Lambda takes 512"),
        (["--allow-account", "12"], "'12' is no AWS account"),
        (["--allow-organization", "12"], "'12' is no AWS organization"),
        (["--s3-prefix", "x"], "there is no bucket to which that applies"),
        (["--s3-bucket", "{zone}"], "the template has no word {zone}"),
        (["--region", "Frankfurt"], "'Frankfurt' is no AWS region"),
        (["--region", "eu-wes-t1"], "did you mean 'eu-west-1'?"),
        (["--profile", "nobody"], "there is no AWS profile called 'nobody'"),
        (["--update-function", "fine=prod"], "there is no stack called 'fine'"),
        (["--update-function", "prod"], "it is not clear which stack"),
        (["base", "--update-function", "api=prod"], "layers that are not to be published: web"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    shop: Shop, cloud: Cloud, arguments: list[str], said: str
) -> None:
    shown = shop.publish(*arguments)
    assert shown.code == 2
    assert said in shown.err
    assert "PublishLayerVersion" not in {one.operation for one in cloud.requests}


def test_no_build_no_publish(shop: Shop) -> None:
    shop.manifest_path.unlink()
    said = shop.publish()
    assert said.code == 3
    assert "run `layerkit build`" in said.err


def test_a_newcomer_without_any_configuration(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    said = shop.publish()
    assert said.code == 12
    assert "there are no AWS credentials" in said.err
    assert "aws configure" in said.err
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDHALFHALFHALF0000")
    said = shop.publish()
    assert said.code == 12
    assert "no AWS credentials: Partial credentials found in env" in said.err
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    said = shop.publish()
    assert said.code == 12
    assert "nothing says which region" in said.err


def test_a_profile_of_the_environment_that_is_not_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    said = shop.publish()
    assert said.code == 2
    assert "there is no AWS profile called 'gone'" in said.err


def test_an_aws_that_cannot_be_reached(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    said = shop.publish()
    assert said.code == 12
    assert "AWS cannot be reached" in said.err


def test_expired_credentials_are_heard_of_at_once(shop: Shop, cloud: Cloud) -> None:
    cloud.script(
        "Query", Fault(status=403, code="ExpiredToken", message="The security token included is expired")
    )
    said = shop.publish("--json")
    assert said.code == 12
    assert said.json()["what"] == "the credentials have expired"
    assert said.json()["error"] == "AwsError"
    assert {one.operation for one in cloud.requests} == {"Query"}


def test_one_zip_for_two_architectures_is_one_version(shop: Shop, cloud: Cloud) -> None:
    shop.configure(settings='architectures = ["x86_64", "arm64"]')
    shop.also_for("python3.12", "arm64")
    said = shop.publish("base", "--name-template", "{project}-{layer}", "--json")
    assert said.code == 0
    assert said.json()["layers"][0]["targets"] == ["python3.12-x86_64", "python3.12-arm64"]
    (made,) = versions(cloud, "small-base")
    assert made["CompatibleArchitectures"] == ["x86_64", "arm64"]
    assert made["CompatibleRuntimes"] == ["python3.12"]


def test_architectures_have_names_of_their_own_by_default(shop: Shop, cloud: Cloud) -> None:
    shop.configure(settings='architectures = ["x86_64", "arm64"]')
    shop.also_for("python3.12", "arm64")
    assert shop.publish("base").code == 0
    assert versions(cloud, BASE)[0]["CompatibleArchitectures"] == ["x86_64"]
    assert versions(cloud, f"{BASE}-arm64")[0]["CompatibleArchitectures"] == ["arm64"]


def test_a_version_that_does_not_name_a_runtime_is_pointed_at(shop: Shop) -> None:
    shop.publish("base", "--name-template", "{project}-{layer}")
    shop.configure(settings='architectures = ["x86_64", "arm64"]')
    shop.also_for("python3.12", "arm64")
    said = shop.publish("base", "--name-template", "{project}-{layer}")
    assert "the version that is there does not name arm64; --force publishes one that does" in said.err
