from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

import small
from layerkit.archive import Archive
from layerkit.layer.describe import brought
from layerkit.layer.manifest import Stack, WheelFile, read, write
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> small.Small:
    return small.build(tmp_path_factory.mktemp("described") / "here")


def test_zips_are_described_as_they_lie_on_disk(built: small.Small) -> None:
    zips = built.manifest.zips()
    assert [one.file for one in zips] == [
        f"{small.PREFIX}-{name}.zip" for name in ("base", "web", "api-code")
    ]
    assert sorted(path.name for path in built.output.iterdir()) == sorted(one.file for one in zips)
    for one in zips:
        content = (built.output / one.file).read_bytes()
        digest = hashlib.sha256(content)
        assert (one.zipped, one.sha256) == (len(content), digest.hexdigest())
        assert base64.b64decode(one.code_sha256) == digest.digest()
        with Archive.open(built.output / one.file) as archive:
            assert one.entries == len(archive.members)
            assert one.unzipped == sum(member.size for member in archive.members)


def test_packages_say_what_they_are_and_why_they_are_there(built: small.Small) -> None:
    base, web = built.manifest.layers
    assert [package.name for package in base.packages] == ["six"]
    assert [package.name for package in web.packages] == ["flask", "jinja2"]
    assert (base.beneath, web.beneath) == ((), ("base",))
    flask, jinja2 = web.packages
    locked = built.lock.package("flask")
    assert locked
    assert flask.wheel == WheelFile(file="flask-3.0-py3-none-any.whl", sha256=locked.wheel.sha256)
    assert (flask.version, flask.licence, flask.modules) == ("3.0", "MIT", ("flask",))
    assert (flask.why, jinja2.why, jinja2.licence) == (("flask",), ("flask", "jinja2"), None)
    assert sum(package.unzipped for package in web.packages) == web.zip.unzipped


def test_stacks_are_sums_of_what_was_written(built: small.Small) -> None:
    api, tool = built.manifest.stacks
    base, web, code = (one.unzipped for one in built.manifest.zips())
    assert api.layers == ("base", "web"), "a layer without packages is in no stack"
    assert api.unzipped == base + web + code
    assert api.slack == 262_144_000 - 1 - api.unzipped
    assert api.code == built.manifest.zips()[-1]
    assert tool == Stack(
        name="tool", layers=("base",), code=None, unzipped=base, slack=262_143_999 - base, unpacked=0
    )


def test_what_stays_out_and_what_the_runtime_brings(built: small.Small) -> None:
    manifest = built.manifest
    assert [(one.name, one.version) for one in manifest.left_out] == [("boto3", "1.42.97")]
    assert (manifest.sdk.mode, manifest.sdk.boto3, manifest.sdk.botocore) == ("runtime", "1.42.97", None)
    runtime = {one.name: one for one in manifest.runtime_brings}
    assert runtime["boto3"].version
    assert runtime["boto3"].source
    assert (runtime["six"].version, runtime["six"].source) == (None, None)


def test_runtime_whose_sdk_nobody_has_seen() -> None:
    assert {one.version for one in brought(target("3.15"))} == {None}
    assert {one.source for one in brought(target("3.15"))} == {None}


def test_notes_of_all_steps_are_there_once_and_name_no_place_and_no_secret(built: small.Small) -> None:
    notes = built.manifest.notes
    assert notes[0].startswith("requirements.txt was read from ., for the index https://")
    assert "a note of the lock" in notes
    assert "six: six.pth runs at every start of the function" in notes
    assert any("hollow holds nothing" in note for note in notes)
    assert notes[-1] == "built small"
    assert len(set(notes)) == len(notes)


def test_nothing_private_is_in_it(built: small.Small) -> None:
    text = built.manifest.text()
    assert str(built.project.root) not in text
    assert "secret" not in text
    assert '"url"' not in text


def test_another_place_gives_the_same_manifest(built: small.Small, tmp_path: Path) -> None:
    again = small.build(tmp_path / "some other place")
    assert again.manifest.text() == built.manifest.text()


def test_it_reads_back(built: small.Small, tmp_path: Path) -> None:
    write(built.manifest, tmp_path / "manifest.json")
    assert read(tmp_path / "manifest.json") == built.manifest
