"""Layers checked as AWS has them: by ARN, mixed with files, in the order in which a function has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from aws import Cloud, Fault
from layerkit.cli import run
from layerkit.errors import UsageError
from layerkit.publish.downloads import as_files
from layerkit.schemas import schema
from zips import installed_files, zipped

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
FOR = ("--runtime", "py312")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have downloads lie in a folder of the test's own; return that."""
    made = tmp_path / "downloads"
    made.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(made))
    return made


@pytest.fixture
def jinja(tmp_path: Path) -> Path:
    return zipped(tmp_path / "jinja.zip", installed_files("jinja2 3.1") | {"python/note": "the first"})


@pytest.fixture
def flask(cloud: Cloud, tmp_path: Path) -> str:
    """Publish a layer that needs jinja2; return its ARN."""
    files = installed_files("flask 3.0", "jinja2>=3") | {"python/note": "the second"}
    return published(cloud, "web", zipped(tmp_path / "web.zip", files))


def published(cloud: Cloud, name: str, path: Path, region: str = "eu-west-1") -> str:
    content = path.read_bytes()
    made = cloud.client("lambda", region).publish_layer_version(LayerName=name, Content={"ZipFile": content})
    arn = str(made["LayerVersionArn"])
    cloud.zips[f"layer/{arn}"] = content
    return arn


def checked(capsys: Capture, *zips: object) -> dict[str, Any]:
    capsys.readouterr()
    run(["check", *map(str, zips), *FOR, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema("check"))
    (found,) = document["targets"]
    return dict(found)


def refused(capsys: Capture, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["check", *map(str, arguments), *FOR])
    out, err = capsys.readouterr()
    assert (out, err.count("error:")) == ("", 1)
    assert "Traceback" not in err
    assert "/_zips/" not in err  # the address is signed, and nobody's business
    return code, err


def test_an_arn_and_a_file_are_one_stack_in_their_order(
    cloud: Cloud, jinja: Path, flask: str, folder: Path, capsys: Capture
) -> None:
    alone = checked(capsys, flask)
    assert [(one["code"], one["where"]) for one in alone["findings"]] == [
        ("missing-requirement", f"{flask}: flask 3.0")
    ]
    for zips, winner in (((flask, jinja), "jinja.zip"), ((jinja, flask), flask)):
        both = checked(capsys, *zips)
        assert [one["name"] for one in both["checked"]] == [getattr(one, "name", one) for one in zips]
        (clash,) = both["findings"]
        assert (clash["code"], clash["text"].startswith(f"{winner} comes later")) == ("path-collision", True)
    assert cloud.asked("Download") == 3
    assert list(folder.iterdir()) == []


def test_regions_are_those_of_the_arns_and_a_version_is_fetched_once(
    cloud: Cloud, jinja: Path, flask: str
) -> None:
    other = published(cloud, "web", jinja, "eu-central-1")
    assert other != flask
    with as_files([other, str(jinja), flask, other]) as files:
        assert [path.name for path in files] == [other, "jinja.zip", flask, other]
        assert files[0].read_bytes() == files[1].read_bytes() == jinja.read_bytes()
    assert cloud.asked("Download") == 2


def test_sarif_names_the_arn(flask: str, capsys: Capture) -> None:
    assert run(["check", flask, *FOR, "--sarif"]) == 6
    ((result,),) = [one["results"] for one in json.loads(capsys.readouterr().out)["runs"]]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == flask.replace(":", "%3A")


def test_what_is_not_there(flask: str, capsys: Capture) -> None:
    name = flask.removesuffix(":1")
    code, err = refused(capsys, f"{name}:7")
    assert (code, f"{name}:7: there is no such version" in err) == (12, True)
    code, err = refused(capsys, name)
    assert (code, f"{name}: the ARN names no version\n  add its number: {name}:1" in err) == (2, True)
    for wrong in (f"{flask}x", "arn:aws:lambda:eu-west-1:123456789012:function:api"):
        code, err = refused(capsys, wrong)
        assert (code, f"{wrong}: this is no ARN of a layer's version" in err) == (2, True)
    code, err = refused(capsys, flask.replace("eu-west-1", "nowhere"))
    assert (code, "'nowhere' is no AWS region" in err) == (2, True)


def test_every_arn_is_read_before_aws_is_asked(cloud: Cloud, flask: str) -> None:
    cloud.requests.clear()
    wrong = flask.removesuffix(":1")
    with pytest.raises(UsageError, match="names no version"), as_files([flask, wrong]):
        pass
    assert cloud.requests == []


def test_without_credentials_or_access(
    cloud: Cloud, flask: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    denied = Fault(status=403, code="AccessDeniedException", message="no identity-based policy allows it")
    cloud.script("GetLayerVersion", denied)
    code, err = refused(capsys, flask)
    assert (code, "access denied for lambda:GetLayerVersion" in err) == (12, True)
    assert "--profile" in err
    code, err = refused(capsys, flask, "--profile", "nobody")
    assert (code, "there is no AWS profile called 'nobody'" in err) == (2, True)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, err = refused(capsys, flask)
    assert (code, "there are no AWS credentials" in err) == (12, True)


def test_a_download_is_held_against_the_digest_that_lambda_has(
    cloud: Cloud, flask: str, folder: Path, capsys: Capture
) -> None:
    cloud.zips[f"layer/{flask}"] += b"more"
    code, err = refused(capsys, flask)
    assert (code, f"{flask}: what came is not what Lambda has" in err) == (12, True)
    assert list(folder.iterdir()) == []


def test_a_download_that_breaks_off_is_tried_again(
    cloud: Cloud, flask: str, folder: Path, capsys: Capture
) -> None:
    cloud.cut = 4
    assert [one["name"] for one in checked(capsys, flask)["checked"]] == [flask]
    assert cloud.asked("Download") == 5
    cloud.cut = 5
    code, err = refused(capsys, flask)
    assert (code, "no answer to s3:GetObject" in err) == (12, True)
    assert list(folder.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(
    flask: str, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "missing"))
    code, err = refused(capsys, flask)
    assert (code, "missing" in err) == (9, True)


def test_files_alone_need_neither_aws_nor_a_folder(
    cloud: Cloud, jinja: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "missing"))
    assert checked(capsys, jinja)["findings"] == []
    assert cloud.requests == []
