"""What is published and who uses it, and old versions taken away without hurting anybody."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from aws import Cloud, Fault
from shop import BASE, WEB, Shop

if TYPE_CHECKING:
    from pathlib import Path

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:"


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: Cloud) -> Shop:
    """Give a shop, and four versions of its layer `base` from two releases, beside layers of others."""
    for number in (1, 2):
        release(cloud, "py312-small-1-1-base", number)
    for number in (3, 4):
        release(cloud, BASE, number)
    release(cloud, WEB, 5)
    release(cloud, "py312-small-shop-1-1-base", 6)
    release(cloud, "telemetry", 7)
    return Shop(tmp_path / "shop", capsys)


def release(cloud: Cloud, name: str, number: int) -> str:
    content = f"content {number}".encode()
    made = cloud.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": content})
    return str(made["LayerVersionArn"])


def left(cloud: Cloud) -> set[str]:
    """Return the versions that AWS has of all layers, as name:number."""
    client = cloud.client("lambda")
    return {
        f"{layer['LayerName']}:{version['Version']}"
        for layer in client.list_layers()["Layers"]
        for version in client.list_layer_versions(LayerName=layer["LayerName"])["LayerVersions"]
    }


def fates(shop: Shop, *arguments: str) -> dict[str, str]:
    said = shop.run("prune", *arguments, "--json")
    assert said.code == 0
    return {f"{row['name']}:{row['version']}": row["fate"] for row in said.json()["layers"]}


ALL = {
    "py312-small-1-1-base:1", "py312-small-1-1-base:2", f"{BASE}:1", f"{BASE}:2", f"{WEB}:1",
    "py312-small-shop-1-1-base:1", "telemetry:1",
}  # fmt: skip


def test_the_list_has_the_projects_layers_of_every_release_with_their_users(shop: Shop, cloud: Cloud) -> None:
    cloud.function("api", b"code", layers=(f"{ARN}{BASE}:1", f"{ARN}telemetry:1"))
    client = cloud.client("lambda")
    client.publish_version(FunctionName="api")
    client.create_alias(FunctionName="api", Name="prod", FunctionVersion="1")
    client.update_function_configuration(FunctionName="api", Layers=[f"{ARN}{BASE}:2"])
    said = shop.run("list", "--json")
    assert said.code == 0
    rows = said.json()["layers"]
    assert [f"{row['name']}:{row['version']}" for row in rows] == [
        f"{BASE}:2", f"{BASE}:1", "py312-small-1-1-base:2", "py312-small-1-1-base:1", f"{WEB}:1",
    ]  # fmt: skip
    assert {row["series"] for row in rows} == {"py312-small-*-base", "py312-small-*-web"}
    assert [row["used_by"] for row in rows] == [["api:$LATEST"], ["api:1 (prod)"], [], [], []]
    assert rows[0]["sha256"] == hashlib.sha256(b"content 4").hexdigest()
    assert rows[0]["size"] == len(b"content 4")
    drawn = shop.run("list").out
    assert "api:1 (prod)" in drawn
    assert rows[0]["sha256"][:12] in drawn


def test_lists_come_in_pages(shop: Shop, cloud: Cloud) -> None:
    for name in ("one", "two", "three"):
        cloud.function(name, b"code", layers=(f"{ARN}{BASE}:1",))
    for version in ("one", "two"):
        cloud.client("lambda").create_alias(FunctionName="one", Name=version, FunctionVersion="$LATEST")
    cloud.page = 1
    rows = {f"{row['name']}:{row['version']}": row for row in shop.run("list", "--json").json()["layers"]}
    assert len(rows) == 5
    assert rows[f"{BASE}:1"]["used_by"] == ["one:$LATEST (one, two)", "three:$LATEST", "two:$LATEST"]


def test_nothing_published(shop: Shop) -> None:
    assert shop.run("list", "--region", "us-west-2", "--json").json()["layers"] == []
    assert shop.run("list", "--region", "us-west-2").code == 0


def test_the_newest_of_a_series_stay_whatever_their_release(shop: Shop, cloud: Cloud) -> None:
    said = fates(shop, "--keep", "1")
    assert said == {
        f"{BASE}:2": "newest",
        f"{BASE}:1": "to-delete",
        "py312-small-1-1-base:2": "to-delete",
        "py312-small-1-1-base:1": "to-delete",
        f"{WEB}:1": "newest",
    }
    assert left(cloud) == ALL  # a dry run
    assert "nothing was deleted: --delete does it" in shop.run("prune", "--keep", "3").err
    assert fates(shop, "--keep", "3", "--delete")["py312-small-1-1-base:1"] == "deleted"
    assert left(cloud) == ALL - {"py312-small-1-1-base:1"}
    said_so = shop.run("prune", "--keep", "1", "--yes")
    assert f"deleted {ARN}{BASE}:1" in said_so.err
    assert left(cloud) == {f"{BASE}:2", f"{WEB}:1", "py312-small-shop-1-1-base:1", "telemetry:1"}


def test_what_any_version_of_a_function_uses_is_never_deleted(shop: Shop, cloud: Cloud) -> None:
    cloud.function("api", b"code", layers=(f"{ARN}py312-small-1-1-base:1",))
    client = cloud.client("lambda")
    client.publish_version(FunctionName="api")
    client.update_function_configuration(FunctionName="api", Layers=[f"{ARN}{BASE}:1"])
    said = fates(shop, "--keep", "0", "--delete")
    assert said == {
        f"{BASE}:2": "deleted",
        f"{BASE}:1": "used",
        "py312-small-1-1-base:2": "deleted",
        "py312-small-1-1-base:1": "used",
        f"{WEB}:1": "deleted",
    }


def test_what_others_may_use_is_left_alone(shop: Shop, cloud: Cloud) -> None:
    cloud.client("lambda").add_layer_version_permission(
        LayerName=BASE, VersionNumber=1, StatementId="x", Action="lambda:GetLayerVersion", Principal="*"
    )
    assert fates(shop, "--keep", "1")[f"{BASE}:1"] == "shared"
    assert fates(shop, "--keep", "1", "--also-shared", "--delete")[f"{BASE}:1"] == "deleted"


def test_where_functions_cannot_be_seen_nothing_is_deleted(shop: Shop, cloud: Cloud) -> None:
    cloud.script(
        "ListFunctions", Fault(status=403, code="AccessDeniedException", message="not allowed to look")
    )
    said = shop.run("prune", "--keep", "0", "--delete")
    assert said.code == 12
    assert "access denied for lambda:ListFunctions: not allowed to look" in said.err
    assert left(cloud) == ALL


def test_what_is_gone_already_is_no_error(shop: Shop, cloud: Cloud) -> None:
    cloud.script("DeleteLayerVersion", Fault(reset=True, after=True))
    assert fates(shop, "--keep", "1", "--delete")[f"{BASE}:1"] == "deleted"
    assert f"{BASE}:1" not in left(cloud)


def test_a_layer_of_a_name_of_its_own(shop: Shop, cloud: Cloud) -> None:
    arn = release(cloud, "small-base", 8)
    rows = shop.run("list", "--name-template", "{project}-{layer}", "--json").json()["layers"]
    assert [row["arn"] for row in rows] == [arn]
