"""Two layers side by side, whatever they are read from."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from msgspec.structs import replace

from layerkit.cli import run
from layerkit.layer import manifest as manifests
from layerkit.schemas import schema
from shop import WEB, Shop

if TYPE_CHECKING:
    from pathlib import Path

    from aws import Cloud

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def shop(tmp_path: Path, capsys: Capture, cloud: Cloud) -> Shop:
    assert cloud.requests == []
    return Shop(tmp_path / "shop", capsys)


def differ(capsys: Capture, before: object, after: object, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["diff", str(before), str(after), *arguments])
    return (code, *capsys.readouterr())


def changes(capsys: Capture, before: object, after: object) -> dict[str, Any]:
    code, out, _ = differ(capsys, before, after, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    jsonschema.validate(found, schema("diff"))
    return found


def later_manifest(shop: Shop) -> Path:
    """Write another manifest: flask has a new version, jinja2 is gone, six lies in web, markupsafe is new."""
    base, web = shop.manifest.layers
    (six,) = base.packages
    flask = next(one for one in web.packages if one.name == "flask")
    new = replace(flask, name="markupsafe", version="1.0", unzipped=7, zipped=5)
    flask = replace(flask, version="3.1", unzipped=flask.unzipped + 1000)
    packages = (flask, new, six)
    web = replace(
        web, packages=packages, zip=replace(web.zip, unzipped=sum(one.unzipped for one in packages))
    )
    path = shop.manifest_path.with_name("later.json")
    manifests.write(replace(shop.manifest, layers=(web,)), path)
    return path


def test_two_manifests(shop: Shop, capsys: Capture) -> None:
    found = changes(capsys, shop.manifest_path, later_manifest(shop))
    assert [(one["package"], one["kind"]) for one in found["changes"]] == [
        ("markupsafe", "added"),
        ("jinja2", "removed"),
        ("flask", "changed"),
        ("six", "moved"),
    ]
    flask = next(one for one in found["changes"] if one["package"] == "flask")
    assert (flask["before"]["version"], flask["after"]["version"]) == ("3.0", "3.1")
    assert flask["after"]["unzipped"] - flask["before"]["unzipped"] == 1000
    six = next(one for one in found["changes"] if one["package"] == "six")
    assert (six["before"]["layers"], six["after"]["layers"]) == (["base"], ["web"])
    assert found["before"]["packages"] == 3
    assert found["before"]["unzipped"] == sum(layer.zip.unzipped for layer in shop.manifest.layers)


def test_as_a_table_and_for_a_pull_request(shop: Shop, capsys: Capture) -> None:
    later = later_manifest(shop)
    code, out, _ = differ(capsys, shop.manifest_path, later)
    assert code == 0
    assert "markupsafe" in out
    assert "+1.0 kB" in out
    assert "3 packages before, 3 after" in out
    code, out, _ = differ(capsys, shop.manifest_path, later, "--format", "markdown")
    lines = out.splitlines()
    assert lines[:2] == ["| package | | before | after | bytes |", "|---|---|---|---|---:|"]
    assert lines[2] == "| markupsafe | added |  | 1.0 (7 B) in web | +7 B |"
    assert code == 0
    code, out, _ = differ(capsys, later, later, "--format", "markdown")
    assert out.startswith("the same 3 packages")


def test_a_zip_tells_as_much_as_its_manifest(shop: Shop, capsys: Capture) -> None:
    """What a package has in a zip is what its RECORD names."""
    found = changes(capsys, shop.zip_path("base"), shop.zip_path("web"))
    kinds = {one["package"]: one["kind"] for one in found["changes"]}
    assert kinds == {"flask": "added", "jinja2": "added", "six": "removed"}
    web = next(layer for layer in shop.manifest.layers if layer.name == "web")
    sizes = {one.name: one.unzipped for one in web.packages}
    assert {one["package"]: one["after"]["unzipped"] for one in found["changes"] if one["after"]} == sizes
    assert found["after"]["other"] == 0
    assert found["after"]["unzipped"] == web.zip.unzipped
    assert changes(capsys, shop.zip_path("web"), shop.zip_path("web"))["changes"] == []


def test_files_without_a_package_and_packages_without_a_record(tmp_path: Path, capsys: Capture) -> None:
    for name, more in (("a", 0), ("b", 50)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(
                "python/odd-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: Odd\nVersion: 1.0\n"
            )
            archive.writestr("python/odd.py", "#" * (10 + more))
            archive.writestr("bin/tool", "#!")
    found = changes(capsys, tmp_path / "a.zip", tmp_path / "b.zip")
    assert found["changes"] == []
    assert (found["before"]["other"], found["after"]["other"]) == (12, 62)
    assert (
        "in no package: 12 B before, 62 B after" in differ(capsys, tmp_path / "a.zip", tmp_path / "b.zip")[1]
    )


def test_a_published_version_is_downloaded(shop: Shop, cloud: Cloud, capsys: Capture) -> None:
    shop.publish()
    arn = f"arn:aws:lambda:eu-west-1:123456789012:layer:{WEB}:1"
    cloud.zips[f"layer/{arn}"] = shop.zip("web")
    assert changes(capsys, arn, shop.zip_path("web"))["changes"] == []
    found = changes(capsys, arn, shop.zip_path("base"))
    assert {one["kind"] for one in found["changes"]} == {"added", "removed"}
    code, _, err = differ(capsys, arn.replace(":1", ":7"), arn)
    assert (code, "there is no such version" in err) == (12, True)
    code, _, err = differ(capsys, arn.removesuffix(":1"), arn)
    assert (code, "the ARN names no version" in err) == (2, True)
    cloud.zips.clear()
    code, _, err = differ(capsys, arn, arn)
    assert code == 12
    assert "/_zips/" not in err  # the address is signed, and nobody's business


def test_what_cannot_be_compared(shop: Shop, tmp_path: Path, capsys: Capture) -> None:
    code, _, err = differ(capsys, "nothing.zip", shop.zip_path("web"))
    assert (code, "there is no file 'nothing.zip', and it is no ARN" in err) == (2, True)
    (tmp_path / "broken.zip").write_bytes(b"PK?")
    assert differ(capsys, tmp_path / "broken.zip", shop.zip_path("web"))[0] == 8
    (tmp_path / "other.json").write_text("{}")
    assert differ(capsys, tmp_path / "other.json", shop.zip_path("web"))[0] == 3
