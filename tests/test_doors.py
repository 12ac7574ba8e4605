"""The Python behind the shell scripts: old names for new zips, the runtime's SDK in requirements."""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from layerkit import doors
from layerkit.errors import UsageError, WheelError
from layerkit.layer import manifest
from layerkit.target import target
from small import PREFIX, build

if TYPE_CHECKING:
    from pathlib import Path

SDK = target("py312", sdk_version="1.42.97").sdk or pytest.fail("the target has an SDK")


@pytest.fixture
def built(tmp_path: Path) -> dict[str, Any]:
    """Give one target of what `layerkit build --json` prints; its layers with a zip are default and web."""
    small = build(tmp_path / "project")
    layers = (replace(small.manifest.layers[0], name="default"), *small.manifest.layers[1:])
    path = small.output / f"{PREFIX}.json"
    manifest.write(replace(small.manifest, layers=layers), path)
    engine = {"asked": "auto", "used": "wheels", "reason": "nothing here needs Docker"}
    return {"target": "python3.12-x86_64", "manifest": str(path), "unchanged": False, "engine": engine}


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_zips_stay_where_they_are_without_zip_path(built: dict[str, Any]) -> None:
    found = doors.deliver([built], {})
    assert names(found) == [
        f"{PREFIX}-base.zip",
        f"{PREFIX}-web.zip",
        f"{PREFIX}-api-code.zip",
    ]
    assert all(path.is_file() for path in found)


def test_what_was_built_is_said_and_the_paths_are_printed(
    built: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ZIP_PATH", "LIB_PREFIX", "LIB_PACKAGE", "USER_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"targets": [built]})))
    assert doors.run(["deliver"]) == 0
    out, err = capsys.readouterr()
    assert [line.rpartition("/")[2] for line in out.splitlines()] == names(doors.deliver([built], {}))
    assert "layer default:" in err
    assert "of the limit" in err


@pytest.mark.parametrize("text", ["", '{"schema": "layerkit/error/1", "what": "no"}'])
def test_a_build_that_failed_delivers_nothing_and_says_no_more(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert doors.run(["deliver"]) == 0
    assert capsys.readouterr() == ("", "")


def test_zips_get_their_old_names_in_zip_path(built: dict[str, Any], tmp_path: Path) -> None:
    found = doors.deliver([built], {"ZIP_PATH": str(tmp_path / "to here")})
    assert names(found) == [
        f"{PREFIX}.zip",
        f"{PREFIX}-web.zip",
        f"{PREFIX}-api-code.zip",
    ]
    assert {path.parent for path in found} == {tmp_path / "to here"}
    kept = doors.deliver([built], {})
    assert [path.read_bytes() for path in found] == [path.read_bytes() for path in kept]


def test_prefix_and_package_can_be_chosen(built: dict[str, Any], tmp_path: Path) -> None:
    environ = {"ZIP_PATH": str(tmp_path), "LIB_PREFIX": "mine", "LIB_PACKAGE": "main.zip"}
    assert names(doors.deliver([built], environ))[:2] == ["main.zip", "mine-web.zip"]


def test_one_layer_alone_is_the_package(built: dict[str, Any], tmp_path: Path) -> None:
    found = doors.deliver([built], {"ZIP_PATH": str(tmp_path)}, "web")
    assert names(found) == [f"{PREFIX}.zip"]
    with zipfile.ZipFile(found[0]) as archive:
        assert any("flask/" in name for name in archive.namelist())


def test_a_layer_that_is_not_there_is_named_with_those_that_are(built: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="default, web"):
        doors.deliver([built], {}, "wed")


def test_two_zips_never_take_one_name(built: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two zips"):
        doors.deliver([built, built], {"ZIP_PATH": str(tmp_path), "LIB_PREFIX": "mine"})
    assert not list(tmp_path.glob("*.zip"))


def test_arm64_has_a_name_of_its_own(built: dict[str, Any], tmp_path: Path) -> None:
    from pathlib import Path

    path = Path(built["manifest"])
    read = manifest.read(path)
    manifest.write(replace(read, target=replace(read.target, arch="arm64")), path)
    assert names(doors.deliver([built], {"ZIP_PATH": str(tmp_path)}))[0] == f"{PREFIX}-arm64.zip"


@pytest.mark.parametrize("unchanged", [True, False])
def test_a_damaged_zip_is_not_delivered(built: dict[str, Any], tmp_path: Path, *, unchanged: bool) -> None:
    zip_path = doors.deliver([built], {})[1]
    content = bytearray(zip_path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    zip_path.write_bytes(content)
    with pytest.raises(WheelError):
        doors.deliver([{**built, "unchanged": unchanged}], {"ZIP_PATH": str(tmp_path / "out")})
    assert not (tmp_path / "out").exists()


def test_zips_are_given_to_the_user_who_asked(
    built: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, user, group: given.append((path.name, user, group)))
    environ = {"ZIP_PATH": str(tmp_path / "out"), "USER_ID": "1000", "GROUP_ID": "1001"}
    found = doors.deliver([built], environ)
    assert given == [(path.name, 1000, 1001) for path in found]
    with pytest.raises(UsageError, match="numbers"):
        doors.deliver([built], {**environ, "USER_ID": "me"})


def test_who_is_not_root_gives_nothing_away(built: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "chown", lambda *_: pytest.fail("chown was called"))
    assert doors.deliver([built], {"USER_ID": "1000"})


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("boto3==1.9.0", f"boto3=={SDK.boto3}"),
        ("Boto3 >= 1.2, < 2", f"Boto3=={SDK.boto3}"),
        ("botocore", f"botocore=={SDK.botocore}"),
        ("boto3[crt]>=1 ; python_version > '3.7'", f'boto3[crt]=={SDK.boto3} ; python_version > "3.7"'),
        ("boto3==1.9.0  # why", f"boto3=={SDK.boto3}  # why"),
        ("python_dateutil==2.8.2", "python_dateutil"),
        ("python-dateutil==2.8.2 ; python_version > '3'", 'python-dateutil ; python_version > "3"'),
        ("urllib3==1.26.20 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb", "urllib3"),
    ],
)
def test_lines_of_the_sdk_become_the_runtimes(line: str, becomes: str) -> None:
    assert doors.pin_sdk(f"before\n{line}\nafter\n", "py312") == f"before\n{becomes}\nafter\n"


@pytest.mark.parametrize(
    "line",
    [
        "boto3-stubs==1.9.0",
        "boto3-stubs[s3]",
        "aioboto3==1.0",
        "urllib3>=1.26,<3",
        "six",
        "jmespath==1.*",
        "# boto3==1.0 \\",
        "-r other.txt",
        "--hash=sha256:aa",
        "./boto3",
        "requests==2.0 \\\n    --hash=sha256:aa",
        f"boto3=={SDK.boto3} \\\n    --hash=sha256:aa",
        "",
    ],
)
def test_other_lines_stay_as_they_are(line: str) -> None:
    text = f"{line}\nlast"
    assert doors.pin_sdk(text, "py312") == text


def test_line_ends_are_kept() -> None:
    assert doors.pin_sdk("boto3\r\nrequests\r\n", "py312") == f"boto3=={SDK.boto3}\r\nrequests\r\n"


def test_the_runtime_comes_from_argument_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("boto3\n")
    for name in ("RUNTIME", "LIB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    assert doors.run(["pin-sdk", str(path)]) == UsageError.exit_code
    assert "py312" in capsys.readouterr().err
    monkeypatch.setenv("LIB_PREFIX", "py311-demo-1.0")
    assert doors.run(["pin-sdk", str(path)]) == 0
    sdk = target("py311").sdk
    assert sdk
    assert path.read_text() == f"boto3=={sdk.boto3}\n"
    assert doors.run(["pin-sdk", str(path), "py312"]) == 0
    assert path.read_text() == f"boto3=={SDK.boto3}\n"


@pytest.mark.parametrize("arguments", [[], ["open"], ["zip", "one"], ["clean-aws"], ["clean-aws", "a", "b"]])
def test_wrong_use_is_told_in_a_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert doors.run(arguments) == UsageError.exit_code
    assert capsys.readouterr().err.startswith("error: ")
