"""Bills of materials: true to the layer, valid, the same each time."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec.structs import replace

import small
from layerkit.layer.manifest import FoundPackage, Opt
from layerkit.sbom import bill, own_bills, write_bills
from zips import SITE, zipped

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.layer.manifest import Layer


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> small.Small:
    return small.build(tmp_path_factory.mktemp("sbom") / "here")


def layer_with(built: small.Small, package: str) -> Layer:
    return next(one for one in built.manifest.layers if package in {each.name for each in one.packages})


def read(text: str) -> dict[str, Any]:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: dict[str, Any] = json.loads(text)
    return document


def test_a_bill_names_each_package_with_its_wheel_licence_and_needs(built: small.Small) -> None:
    layer = layer_with(built, "flask")
    document = read(bill(built.manifest, layer, built.lock, {}))
    components = {one["name"]: one for one in document["components"]}
    assert set(components) == {one.name for one in layer.packages}
    flask = next(one for one in layer.packages if one.name == "flask")
    assert components["flask"]["hashes"] == [{"alg": "SHA-256", "content": flask.wheel.sha256}]
    assert components["flask"]["purl"] == f"pkg:pypi/flask@{flask.version}"
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    locked = built.lock.package("flask")
    assert locked is not None
    assert set(needs["flask"]) == {one.name for one in locked.requires} & set(components)
    assert set(needs["layer"]) == set(components)
    top = document["metadata"]["component"]
    assert (top["name"], top["hashes"][0]["content"]) == (layer.zip.file, layer.zip.sha256)
    assert "timestamp" not in document["metadata"]


def test_a_bill_is_the_same_each_time_and_another_for_another_layer(built: small.Small) -> None:
    layer = layer_with(built, "flask")
    assert bill(built.manifest, layer, built.lock, {}) == bill(built.manifest, layer, built.lock, {})
    other = replace(layer, zip=replace(layer.zip, sha256="0" * 64))
    serials = {read(bill(built.manifest, one, built.lock, {}))["serialNumber"] for one in (layer, other)}
    assert len(serials) == 2


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0 OR MIT", "a licence of our own", None])
def test_licences_are_expressions_or_names(built: small.Small, licence: str | None) -> None:
    layer = layer_with(built, "flask")
    packages = tuple(replace(one, licence=licence) for one in layer.packages)
    document = read(bill(built.manifest, replace(layer, packages=packages), built.lock, {}))
    said = json.dumps([one.get("licenses") for one in document["components"]])
    assert (licence or "null") in said


def test_attestations_of_the_lock_are_carried(built: small.Small) -> None:
    said = '[{"kind": "GitHub"}]'
    lock = replace(built.lock, packages=tuple(replace(one, attestations=said) for one in built.lock.packages))
    document = read(bill(built.manifest, layer_with(built, "flask"), lock, {}))
    for one in document["components"]:
        assert {"name": "layerkit:attestation-identities", "value": said} in one["properties"]


def test_without_a_lock_there_are_no_needs_and_no_addresses(built: small.Small) -> None:
    document = read(bill(built.manifest, layer_with(built, "flask"), None, {}))
    assert all("purl" not in one for one in document["components"])
    assert all(not one.get("dependsOn") for one in document["dependencies"] if one["ref"] != "layer")


def test_what_a_dockerfile_installed_is_in_it(built: small.Small) -> None:
    opt = Opt(
        dockerfile="Dockerfile",
        sha256="0" * 64,
        image="sha256:1",
        bases=(),
        packages=(FoundPackage(name="gdal", version="3.9"),),
        zipped=1,
        unzipped=1,
        entries=1,
    )
    document = read(bill(built.manifest, replace(layer_with(built, "flask"), opt=opt), built.lock, {}))
    assert "gdal" in {one["name"] for one in document["components"]}


def test_bills_of_wheels_are_referred_to_with_their_digests(built: small.Small, tmp_path: Path) -> None:
    member = f"{SITE}/Flask-3.0.dist-info/sboms/auditwheel.cdx.json"
    own = own_bills(zipped(tmp_path / "a.zip", {member: "{}", f"{SITE}/flask/sboms/x.json": "{}"}))
    assert own == {"flask": [(member, hashlib.sha256(b"{}").hexdigest())]}
    document = read(bill(built.manifest, layer_with(built, "flask"), built.lock, own))
    (reference,) = next(one for one in document["components"] if one["name"] == "flask")["externalReferences"]
    assert (reference["type"], reference["url"]) == ("bom", member)


def test_they_lie_beside_the_zips(built: small.Small, tmp_path: Path) -> None:
    for layer in built.manifest.layers:
        zipped(tmp_path / layer.zip.file, {})
    paths = write_bills(built.manifest, built.lock, tmp_path)
    assert [path.name for path in paths] == [
        one.zip.file.replace(".zip", ".cdx.json") for one in built.manifest.layers
    ]
    for path in paths:
        read(path.read_text(encoding="utf-8"))
