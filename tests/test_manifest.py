from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from msgspec.structs import replace

from layerkit.errors import ConfigError, LayerkitError, StorageError
from layerkit.layer.manifest import (
    Brought,
    Effect,
    Layer,
    LeftOut,
    LockRef,
    Manifest,
    Package,
    Preparing,
    ProjectRef,
    RemoteFile,
    SdkRef,
    Stack,
    TargetRef,
    Tool,
    Unstripped,
    WheelFile,
    ZipFile,
    read,
    write,
)
from layerkit.schemas import schema

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0123456789abcdef" * 4


def zip_file(name: str) -> ZipFile:
    return ZipFile(
        file=name,
        sha256=DIGEST,
        code_sha256=base64.b64encode(bytes.fromhex(DIGEST)).decode(),
        zipped=900,
        unzipped=2000,
        entries=3,
    )


def layer(name: str) -> Layer:
    package = Package(
        name="demo",
        version="1.0",
        wheel=WheelFile(file="demo-1.0-py3-none-any.whl", sha256=DIGEST),
        zipped=900,
        unzipped=2000,
        licence=None,
        modules=("demo",),
        unpacked=0,
        why=("api", "demo"),
        effects=(Effect(rule="headers", files=3, bytes=-400),),
        unstripped=(Unstripped(file="demo/_x.so", reason="odd"),),
    )
    return Layer(name=name, zip=zip_file(f"py312-x-1-{name}.zip"), packages=(package,), beneath=("base",))


MANIFEST = Manifest(
    tool=Tool(name="layerkit", version="0.1.0"),
    project=ProjectRef(name="x", version="1"),
    target=TargetRef(runtime="python3.12", arch="x86_64", python="3.12.13", glibc="2.34"),
    layout="versioned",
    preparing=Preparing(strip=True, bytecode="beside", interpreter="3.12.1"),
    lock=LockRef(digest=DIGEST, inputs=DIGEST),
    sdk=SdkRef(mode="runtime", reason="it fits", boto3="1.42.97", botocore="1.42.97"),
    runtime_brings=(Brought(name="boto3", version="1.42.97", source="seen"),),
    layers=(layer("default"),),
    stacks=(
        Stack(
            name="api",
            layers=("default",),
            code=zip_file("code.zip"),
            unzipped=4000,
            slack=262_139_999,
            unpacked=8192,
        ),
        Stack(name="bare", layers=("default",), code=None, unzipped=2000, slack=-5, unpacked=0),
    ),
    remote=(RemoteFile(file="demo-01.frames", sha256=DIGEST, size=5, address="s3://bucket/demo-01.frames"),),
    left_out=(LeftOut(name="boto3", version="1.42.97", reason="the runtime brings it"),),
    notes=("grüß dich",),
)


def fault(path: Path, content: str | bytes | dict[str, Any]) -> LayerkitError:
    text = json.dumps(content) if isinstance(content, dict) else content
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(LayerkitError) as caught:
        read(path)
    assert caught.value.where == str(path)
    return caught.value


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(MANIFEST.text())
    return loaded


def test_there_and_back(tmp_path: Path) -> None:
    write(MANIFEST, tmp_path / "out" / "manifest.json")
    assert read(tmp_path / "out" / "manifest.json") == MANIFEST


def test_text_is_for_people_and_for_diff() -> None:
    text = MANIFEST.text()
    assert text.endswith("}\n")
    assert '\n  "project": {\n    "name": "x",\n    "version": "1"\n  },\n' in text
    assert "grüß dich" in text
    assert list(document()) == sorted(document())


def test_text_fits_the_schema() -> None:
    jsonschema.validate(document(), schema("manifest"))


def test_zips_are_those_of_the_layers_and_of_the_code() -> None:
    assert [each.file for each in MANIFEST.zips()] == ["py312-x-1-default.zip", "code.zip"]


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize("content", ["", "{", b"\xff\xfe", "[" * 100_000, b"PK\x03\x04"])
def test_what_is_no_json(tmp_path: Path, content: str | bytes) -> None:
    assert "no JSON" in fault(tmp_path / "m.json", content).what


@pytest.mark.parametrize(
    "content", ["[]", "1", "null", "{}", '{"schema": 1}', '{"schema": "other/manifest/1"}']
)
def test_json_of_others(tmp_path: Path, content: str) -> None:
    assert fault(tmp_path / "m.json", content).what == "this is not a manifest of layerkit"


def test_form_of_another_version(tmp_path: Path) -> None:
    error = fault(tmp_path / "m.json", document() | {"schema": "layerkit/manifest/2"})
    assert (
        error.what
        == "the manifest is of the form layerkit/manifest/2, and this version reads layerkit/manifest/1"
    )
    assert error.fix


def test_damage_is_named_with_its_path(tmp_path: Path) -> None:
    broken = document()
    del broken["layers"][0]["packages"][0]["wheel"]["sha256"]
    error = fault(tmp_path / "m.json", broken)
    assert isinstance(error, ConfigError)
    assert error.what == (
        "the manifest is damaged: Object missing required field `sha256` - at `$.layers[0].packages[0].wheel`"
    )


@pytest.mark.parametrize("name", ["../secret.zip", "/etc/passwd", "a/b.zip", "a\\b.zip", "", ".."])
def test_zip_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    broken = document()
    broken["layers"][0]["zip"]["file"] = name
    assert f"names a file elsewhere: {name!r}" in fault(tmp_path / "m.json", broken).what


def test_keys_of_a_newer_tool_are_let_pass(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document() | {"later": {"a": 1}}))
    assert read(path) == MANIFEST


def test_thousands_of_layers_are_read_and_written_in_linear_time(tmp_path: Path) -> None:
    from time import process_time

    def seconds(count: int) -> float:
        large = replace(MANIFEST, layers=tuple(layer(f"l{index}") for index in range(count)))
        start = process_time()
        write(large, tmp_path / "large.json")
        assert read(tmp_path / "large.json") == large
        return process_time() - start

    few = min(seconds(200) for _ in range(5))
    many = min(seconds(4000) for _ in range(3))
    assert many < 20 * few * 8  # 20 times as many, and what is quadratic takes 400 times as long
