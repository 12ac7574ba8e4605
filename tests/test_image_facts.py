from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from layerkit import image_facts
from layerkit.errors import ConfigError
from layerkit.image_facts import ImageFacts
from layerkit.layer.describe import brought
from layerkit.lock import inputs_digest
from layerkit.report.runtimes import show_runtimes
from layerkit.target import facts, present_libraries, target
from projects import project

READ = ImageFacts(
    image="lambda/python:3.12",
    digest="sha256:" + "ab" * 32,
    seen="2026-12-24",
    python="3.12.99",
    glibc="2.35",
    packages=(("awslambdaric", "3.0"), ("boto3", "9.9.8"), ("botocore", "9.9.9"), ("six", "1.17.0")),
    libraries=("libz.so.1",),
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "facts.json"
    monkeypatch.setenv("LAYERKIT_FACTS", str(path))
    return path


def test_what_an_image_holds_stands_above_what_layerkit_knows(file: Path, tmp_path: Path) -> None:
    before, other = target("py312"), target("py312", "arm64")
    one = project(tmp_path, {"default": ["six"]})
    asked = inputs_digest(one, before)
    file.write_bytes(image_facts.written({"python3.12-x86_64": READ}))
    assert image_facts.read() == {"python3.12-x86_64": READ}
    after = target("py312")
    assert (after.python, after.glibc) == ("3.12.99", (2, 35))
    assert after.markers()["python_full_version"] == "3.12.99"
    assert "manylinux_2_35_x86_64" in after.platforms()
    assert after.sdk
    assert (after.sdk.boto3, after.sdk.botocore, after.sdk.seen) == ("9.9.8", "9.9.9", "2026-12-24")
    assert READ.digest in after.sdk.source
    assert dict(after.brings()) == dict(READ.packages)
    assert {(one.name, one.version, one.source) for one in brought(after)} >= {
        ("six", "1.17.0", READ.source),
        ("boto3", "9.9.8", READ.source),
    }
    assert "libz.so.1" in present_libraries(after)
    assert "libc.so.6" in present_libraries(after)
    assert inputs_digest(one, after) != asked  # a lock of the other facts is not current
    assert target("py312", "arm64") == other


def test_the_project_has_the_last_word_on_the_sdk(file: Path) -> None:
    file.write_bytes(image_facts.written({"python3.12-x86_64": READ}))
    sdk = target("py312", sdk_version="1.2.3").sdk
    assert sdk
    assert (sdk.boto3, sdk.source) == ("1.2.3", "the project's sdk-version")
    without = replace(READ, packages=())
    file.write_bytes(image_facts.written({"python3.12-x86_64": without}))
    sdk = target("py312").sdk
    assert sdk
    assert sdk.boto3 == facts()["runtimes"]["python3.12"]["sdk"]["boto3"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "\udcff",
        '{"schema": "layerkit/facts/2", "targets": {}}',
        '{"schema": "layerkit/facts/1"}',
        '{"schema": "layerkit/facts/1", "targets": []}',
        '{"schema": "layerkit/facts/1", "targets": {"python3.12-x86_64": {}}}',
    ],
)
def test_a_file_of_something_else_is_refused(file: Path, text: str) -> None:
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigError, match="no file of facts") as caught:
        target("py312")
    assert caught.value.where == str(file)
    assert "--refresh" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("python3.12-sparc", {}),
        ("python3.11-x86_64", {}),
        ("python3.12-x86_64", {"glibc": "new"}),
        ("python3.12-x86_64", {"packages": ["boto3"]}),
    ],
)
def test_facts_that_cannot_be_the_targets_are_refused(
    file: Path, key: str, changed: dict[str, object]
) -> None:
    document = {"schema": image_facts.FORMAT, "targets": {key: READ.as_json() | changed}}
    file.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="no file of facts"):
        image_facts.read()


def test_a_folder_in_place_of_the_file_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="no file of facts"):
        image_facts.read()


def test_the_file_lies_with_the_users_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAYERKIT_FACTS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert image_facts.path() == tmp_path / "layerkit" / "runtimes.json"
    assert image_facts.read() == {}
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert image_facts.path() == Path.home() / ".config" / "layerkit" / "runtimes.json"


def test_the_table_says_what_was_read_from_an_image(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(image_facts.written({"python3.12-x86_64": READ}))
    show_runtimes(everything=False, names=("python3.12",))
    x86, arm, *rest = [line for line in capsys.readouterr().out.splitlines() if "python3.12" in line]
    assert [word in x86 for word in ("x86_64", "3.12.99", "2.35", "9.9.8 (2026-12-24)", "its image")] == [
        True
    ] * 5
    assert [word in arm for word in ("arm64", "2.34", "layerkit")] == [True] * 3
    assert rest == [f"python3.12-x86_64: {READ.source}, read 2026-12-24, 4 packages"]
