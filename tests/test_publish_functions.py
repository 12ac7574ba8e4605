"""Functions get their layers: in order, within the limits, and only when all of it was checked."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from aws import Cloud, Fault
from shop import BASE, WEB, Shop

if TYPE_CHECKING:
    from pathlib import Path

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:"
PLANNED = [f"{ARN}{BASE}:1", f"{ARN}{WEB}:1"]


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: Cloud) -> Shop:
    cloud.function("api", zip_of(1000))
    return Shop(tmp_path / "shop", capsys)


def zip_of(size: int) -> bytes:
    """Return a zip of one member of so many bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", b" " * size)
    return buffer.getvalue()


def foreign(cloud: Cloud, name: str, size: int = 10) -> str:
    """Publish somebody else's layer and return its ARN."""
    content = zip_of(size)
    arn = str(
        cloud.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": content})[
            "LayerVersionArn"
        ]
    )
    cloud.zips[f"layer/{arn}"] = content
    return arn


def layers(cloud: Cloud, function: str = "api") -> list[str]:
    """Return the layers that a function has."""
    found = cloud.client("lambda").get_function_configuration(FunctionName=function)
    return [layer["Arn"] for layer in found["Layers"]]


def give(cloud: Cloud, *arns: str) -> None:
    """Give the function layers, as somebody did before."""
    cloud.client("lambda").update_function_configuration(FunctionName="api", Layers=list(arns))


def test_a_function_gets_its_stack_in_the_planned_order(shop: Shop, cloud: Cloud) -> None:
    said = shop.publish("--update-function", "api", "--json")
    assert said.code == 0
    assert layers(cloud) == PLANNED
    (row,) = said.json()["functions"]
    assert (row["status"], row["layers"], row["stack"]) == ("updated", PLANNED, "api")
    ours = sum(layer.zip.unzipped for layer in shop.manifest.layers)
    assert row["unzipped"] == ours + 1000
    again = shop.publish("--update-function", "api", "--json").json()["functions"]
    assert again[0]["status"] == "unchanged"
    assert cloud.asked("UpdateFunctionConfiguration") == 1


def test_a_function_of_another_name_and_from_the_project_settings(shop: Shop, cloud: Cloud) -> None:
    cloud.function("prod-api", zip_of(1))
    assert shop.publish("--update-function", "api=prod-api").code == 0
    assert layers(cloud, "prod-api") == PLANNED
    assert layers(cloud) == []
    shop.configure('[tool.layerkit.publish.functions]\napi = "api"\n')
    assert shop.publish().code == 0
    assert layers(cloud) == PLANNED


def test_only_the_end_of_the_code_is_read_and_nothing_of_code_that_we_built(shop: Shop, cloud: Cloud) -> None:
    shop.publish("--update-function", "api")
    spans = [one.headers["range"] for one in cloud.requests if one.operation == "Download"]
    assert spans == ["bytes=-131072"]
    built = next(stack.code for stack in shop.manifest.stacks if stack.code)
    cloud.function("own", (shop.manifest_path.parent / built.file).read_bytes())
    cloud.requests.clear()
    (row,) = shop.publish("--update-function", "api=own", "--json").json()["functions"]
    assert row["unzipped"] == sum(layer.zip.unzipped for layer in shop.manifest.layers) + built.unzipped
    assert cloud.asked("Download") == cloud.asked("GetFunction") == 0


def test_layers_of_others_stay_where_they_are(shop: Shop, cloud: Cloud) -> None:
    below, above = foreign(cloud, "telemetry"), foreign(cloud, "secrets")
    give(cloud, below)
    said = shop.publish("--update-function", "api", "--json")
    assert layers(cloud) == [below, *PLANNED]
    assert said.json()["functions"][0]["foreign"] == [below]
    old = foreign(cloud, "py312-small-0-9-web")  # ours, of an earlier release
    give(cloud, below, old, above)
    assert "(kept)" in shop.publish("--update-function", "api").out
    assert layers(cloud) == [below, *PLANNED, above]
    assert shop.publish("--update-function", "api", "--drop-foreign-layers").code == 0
    assert layers(cloud) == PLANNED


def test_more_than_five_layers_are_refused_and_the_foreign_ones_named(shop: Shop, cloud: Cloud) -> None:
    others = [foreign(cloud, f"other-{number}") for number in range(4)]
    give(cloud, *others)
    said = shop.publish("--update-function", "api")
    assert said.code == 7
    assert "6 layers, Lambda takes 5; not of this project: " + ", ".join(others) in said.err
    assert "--drop-foreign-layers" in said.err
    assert layers(cloud) == others
    assert cloud.asked("PublishLayerVersion") == 0


def test_the_sum_is_code_and_all_layers(shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    other = foreign(cloud, "telemetry", 5000)
    give(cloud, other)
    ours = sum(layer.zip.unzipped for layer in shop.manifest.layers)
    total = ours + 5000 + 1000

    def limits(most: int) -> None:
        known = {"unzipped_bytes": most, "layers_per_function": 5}
        monkeypatch.setattr("layerkit.publish.functions.limit", known.__getitem__)

    limits(total)
    said = shop.publish("--update-function", "api")
    assert said.code == 7
    assert f"{total:,} bytes unzipped, 1 more than Lambda takes: {other} 5,000, " in said.err
    assert "the function's code 1,000" in said.err
    assert cloud.asked("PublishLayerVersion") == cloud.asked("UpdateFunctionConfiguration") == 0
    limits(total + 1)
    assert shop.publish("--update-function", "api").code == 0


def test_a_layer_whose_size_nobody_can_see_is_no_guess(shop: Shop, cloud: Cloud) -> None:
    other = foreign(cloud, "telemetry")
    give(cloud, other)
    cloud.client("lambda").delete_layer_version(LayerName="telemetry", VersionNumber=1)
    said = shop.publish("--update-function", "api")
    assert said.code == 12
    assert f"layer {other}: the size of this layer cannot be had" in said.err
    assert shop.publish("--update-function", "api", "--drop-foreign-layers").code == 0
    assert layers(cloud) == PLANNED


@pytest.mark.parametrize("code", [b"no zip at all", b"PK\x05\x06 cut"])
def test_code_that_cannot_be_read(shop: Shop, cloud: Cloud, code: bytes) -> None:
    cloud.zips["function/api"] = code
    said = shop.publish("--update-function", "api")
    assert said.code == 12
    assert "function api: what AWS has is no zip that can be read" in said.err


def test_an_update_under_way_is_waited_for(shop: Shop, cloud: Cloud) -> None:
    cloud.busy["api"] = 5
    cloud.script(
        "UpdateFunctionConfiguration", Fault(status=409, code="ResourceConflictException", message="busy")
    )
    assert shop.publish("--update-function", "api").code == 0
    assert layers(cloud) == PLANNED
    assert cloud.asked("UpdateFunctionConfiguration") == 2


def test_an_update_whose_answer_was_lost_is_found_done(shop: Shop, cloud: Cloud) -> None:
    cloud.script("UpdateFunctionConfiguration", Fault(reset=True, after=True))
    assert shop.publish("--update-function", "api").code == 0
    assert layers(cloud) == PLANNED


def test_an_update_that_is_never_free(shop: Shop, cloud: Cloud) -> None:
    busy = Fault(status=409, code="ResourceConflictException", message="The operation cannot be performed")
    cloud.script("UpdateFunctionConfiguration", *[busy] * 5)
    said = shop.publish("--update-function", "api", "--json")
    assert said.code == 12
    assert "The operation cannot be performed" in said.err
    assert said.statuses() == ["published", "published"]
    assert said.json()["functions"][0]["status"] == "failed"
    assert shop.publish("--update-function", "api").code == 0  # the next run finishes it
    assert layers(cloud) == PLANNED


def test_an_update_that_fails_on_lambdas_side(shop: Shop, cloud: Cloud) -> None:
    cloud.broken["api"] = "The layers could not be read"
    said = shop.publish("--update-function", "api")
    assert said.code == 12
    assert "the function could not take its layers: The layers could not be read" in said.err


def test_functions_that_cannot_have_the_layers(shop: Shop, cloud: Cloud) -> None:
    cloud.function("older", zip_of(1), Runtime="python3.9", Architectures=["arm64"])
    said = shop.publish("--update-function", "api=older")
    assert said.code == 12
    assert (
        "the function runs on python3.9-arm64, and the stack api was built for python3.12-x86_64" in said.err
    )
    said = shop.publish("--update-function", "api=nobody")
    assert said.code == 12
    assert "Function not found" in said.err
    assert cloud.asked("PublishLayerVersion") == 0
