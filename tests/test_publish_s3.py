"""Layers that are too large to be sent to Lambda itself, through S3."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from aws import REGION, Cloud, Fault, code_sha256
from layerkit.errors import UsageError
from layerkit.publish.bucket import Bucket
from layerkit.publish.versions import goes_through_s3
from layerkit.publish.wanted import LayerZip
from shop import BASE, Shop

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = "layerkit.publish.versions.limit"


@pytest.fixture
def shop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    """Give a shop whose layers are all above what Lambda takes directly."""
    assert cloud.requests == []
    monkeypatch.setattr(LIMIT, lambda _name: 100)
    return Shop(tmp_path / "shop", capsys)


def make_bucket(cloud: Cloud, name: str, *, versioned: bool = False, region: str = REGION) -> Any:
    s3 = cloud.client("s3", region)
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=name, **where)
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return s3


def uploads(cloud: Cloud) -> int:
    return cloud.asked("PutObject")


def zip_of(size: int, path: Path) -> LayerZip:
    return LayerZip(
        name="x", layer="x", path=path, sha256="0" * 64, code_sha256="", zipped=size, unzipped=1,
        runtimes=(), architectures=(), description="", licence="",
    )  # fmt: skip


def test_the_border_is_lambdas_own(tmp_path: Path) -> None:
    bucket = Bucket(name="zips")
    assert not goes_through_s3(zip_of(52_428_800, tmp_path), None)
    assert not goes_through_s3(zip_of(52_428_800, tmp_path), bucket)
    assert goes_through_s3(zip_of(52_428_801, tmp_path), bucket)
    assert goes_through_s3(zip_of(1, tmp_path), Bucket(name="zips", storage="reference"))
    with pytest.raises(UsageError, match=r"52,428,801 bytes, and 52,428,800 can be sent"):
        goes_through_s3(zip_of(52_428_801, tmp_path), None)


def test_without_a_bucket_nothing_is_begun(shop: Shop, cloud: Cloud) -> None:
    said = shop.publish()
    assert said.code == 2
    assert "name a bucket for it: --s3-bucket" in said.err
    assert {one.operation for one in cloud.requests} == {"Query"}


def test_the_zip_lies_under_its_digest_and_is_uploaded_once(shop: Shop, cloud: Cloud) -> None:
    s3 = make_bucket(cloud, "zips")
    said = shop.publish("base", "--s3-bucket", "zips", "--s3-prefix", "layers/", "--json")
    assert said.statuses() == ["published"]
    digest = next(layer.zip.sha256 for layer in shop.manifest.layers if layer.name == "base")
    key = f"layers/{digest}.zip"
    assert said.json()["layers"][0]["through"] == f"s3://zips/{key}"
    assert s3.get_object(Bucket="zips", Key=key)["Body"].read() == shop.zip("base")
    assert uploads(cloud) == 1
    there = ["base", "--s3-bucket", "zips", "--s3-prefix", "layers/", "--force", "--json"]
    assert shop.publish(*there).statuses() == ["published"]
    assert uploads(cloud) == 1
    s3.put_object(Bucket="zips", Key=key, Body=shop.zip("base"), Metadata={"layerkit-sha256": "0" * 64})
    assert shop.publish(*there).statuses() == ["published"]
    assert uploads(cloud) == 2


def test_every_region_has_its_bucket(shop: Shop, cloud: Cloud) -> None:
    make_bucket(cloud, "zips-123456789012-eu-west-1")
    make_bucket(cloud, "zips-123456789012-us-east-1", region="us-east-1")
    places = ["--region", "eu-west-1", "--region", "us-east-1", "--s3-bucket", "zips-{account}-{region}"]
    assert shop.publish("base", *places, "--json").statuses() == ["published", "published"]


def test_references_want_a_versioned_bucket(shop: Shop, cloud: Cloud) -> None:
    make_bucket(cloud, "zips")
    reference = ["base", "--s3-storage", "reference", "--s3-bucket"]
    said = shop.publish(*reference, "zips")
    assert said.code == 12
    assert "s3://zips: the bucket keeps no versions, which references need" in said.err
    assert (uploads(cloud), cloud.asked("PublishLayerVersion")) == (0, 0)
    make_bucket(cloud, "versioned", versioned=True)
    assert shop.publish(*reference, "versioned", "--dry-run").code == 0
    assert uploads(cloud) == 0
    seen: list[Any] = []
    cloud.heard = seen.append
    assert shop.publish(*reference, "versioned", "--json").statuses() == ["published"]
    (content,) = [one["Content"] for one in seen if "LicenseInfo" in one]
    assert content["S3ObjectStorageMode"] == "REFERENCE"
    assert content["S3ObjectVersion"] not in {"", "null"}
    assert content["S3Bucket"] == "versioned"


def test_copies_are_asked_for_by_their_name(shop: Shop, cloud: Cloud) -> None:
    make_bucket(cloud, "zips")
    seen: list[Any] = []
    cloud.heard = seen.append
    assert shop.publish("base", "--s3-bucket", "zips", "--s3-storage", "copy").code == 0
    assert [one["Content"]["S3ObjectStorageMode"] for one in seen if "Content" in one] == ["COPY"]


def test_a_boto3_that_knows_no_storage_modes(
    shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bucket(cloud, "zips", versioned=True)
    monkeypatch.setattr("layerkit.publish.bucket._MODE", "S3SomethingElse")
    said = shop.publish("base", "--s3-bucket", "zips", "--s3-storage", "reference")
    assert said.code == 2
    assert "this boto3 does not know S3 storage modes" in said.err


DENIED = Fault(status=403, code="AccessDenied", message="Access Denied by a policy")


def test_a_missing_bucket(shop: Shop, cloud: Cloud) -> None:
    said = shop.publish("base", "--s3-bucket", "none", "--json")
    assert said.code == 12
    assert said.statuses() == ["failed"]
    assert "there is no such bucket" in said.err
    assert "s3://none/" in said.err
    assert cloud.asked("PublishLayerVersion") == 0


def test_who_may_not_look_may_still_upload(shop: Shop, cloud: Cloud) -> None:
    make_bucket(cloud, "zips")
    cloud.script("HeadObject", DENIED, DENIED)
    assert shop.publish("base", "--s3-bucket", "zips").code == 0
    assert uploads(cloud) == 1


@pytest.mark.parametrize(
    ("faults", "what", "tries"),
    [
        ([DENIED], "access denied for s3:PutObject: Access Denied by a policy", 1),
        ([Fault(status=400, code="ExpiredToken")], "the credentials have expired", 1),
        ([Fault(status=503, code="SlowDown")] * 5, "AWS throttles s3:PutObject", 5),
        ([Fault(reset=True)] * 5, "no answer to s3:PutObject", 5),
    ],
)  # fmt: skip
def test_uploads_that_fail(
    shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, faults: list[Fault], what: str, tries: int
) -> None:
    make_bucket(cloud, "zips")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    cloud.script("PutObject", *faults)
    said = shop.publish("base", "--s3-bucket", "zips", "--json")
    assert said.code == 12
    assert what in said.err
    assert said.statuses() == ["failed"]
    assert uploads(cloud) == tries
    assert cloud.asked("PublishLayerVersion") == 0


def test_a_bucket_of_another_region(shop: Shop, cloud: Cloud) -> None:
    """boto3 finds its way there; Lambda does not."""
    make_bucket(cloud, "zips")
    said = (
        "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: It is elsewhere"
    )
    cloud.script(
        "PublishLayerVersion", Fault(status=400, code="InvalidParameterValueException", message=said)
    )
    shown = shop.publish("base", "--s3-bucket", "zips")
    assert shown.code == 12
    assert "the bucket lies in another region" in shown.err
    assert "{region}" in shown.err


def test_an_upload_that_breaks_off_is_sent_again(
    shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bucket(cloud, "zips")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    cloud.script("PutObject", Fault(status=503, code="SlowDown"), Fault(reset=True), Fault(status=500))
    assert shop.publish("base", "--s3-bucket", "zips", "--json").statuses() == ["published"]
    assert uploads(cloud) == 4


def test_a_large_zip_goes_in_parts(shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = make_bucket(cloud, "zips")
    monkeypatch.setattr("layerkit.publish.bucket._PART", 5 << 20)
    content = os.urandom((11 << 20) + 5)
    shop.zip_path("base").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()

    def larger(layer: Any) -> Any:
        changed = replace(layer.zip, sha256=digest, code_sha256=code_sha256(content), zipped=len(content))
        return replace(layer, zip=changed) if layer.name == "base" else layer

    shop.change(lambda manifest: replace(manifest, layers=tuple(map(larger, manifest.layers))))
    assert shop.publish("base", "--s3-bucket", "zips", "--json").statuses() == ["published"]
    assert uploads(cloud) == 3
    assert s3.get_object(Bucket="zips", Key=f"{digest}.zip")["Body"].read() == content
    found = cloud.client("lambda").get_layer_version(LayerName=BASE, VersionNumber=1)["Content"]
    assert found["CodeSha256"] == code_sha256(content)
