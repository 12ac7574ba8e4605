"""The function that makes layers: what is asked, what is there afterwards, what is answered."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from add_module import making
from add_module.event import read
from add_module.failures import NotFoundError
from add_module.wheels import Wheels
from msgspec.structs import replace

from aws import REGION, Cloud, Fault
from factory import make_wheel
from layerkit.target import facts, target
from loopback import Fault as OfIndex

if TYPE_CHECKING:
    from loopback import Loopback

# What the function keeps on Lambda it shall not keep here: its import sets these where nobody has.
with pytest.MonkeyPatch.context() as _patch:
    for _name in ("LAYERKIT_CACHE", "UV_CACHE_DIR"):
        _patch.setenv(_name, "")
    from add_module import handler as function

OWN = target(f"{sys.version_info.major}.{sys.version_info.minor}")
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:add-module"
SITE = OWN.site_packages("versioned")


@pytest.fixture
def index(index: Loopback, wheels: Path) -> Loopback:
    """Give an index with a module, what it needs, and the SDK of every runtime."""
    index.ranges = True
    for version in ("0.22.2.post1", "1.0"):
        make_wheel(
            wheels,
            "demo",
            version,
            files={"demo/__init__.py": f"V = {version!r}\n"},
            requires=["needed", "boto3"],
        )
    make_wheel(wheels, "needed", "2.0", files={"needed.py": "N = 2\n"})
    make_wheel(wheels, "other", "3.0", files={"other.py": "O = 3\n"})
    make_wheel(wheels, "binary", "1.0", tag="cp39-cp39-win_amd64", files={"binary.pyd": b"MZ"})
    for runtime in ("python3.9", OWN.runtime):
        sdk = facts()["runtimes"][runtime]["sdk"]
        if sdk:
            make_wheel(wheels, "boto3", sdk["boto3"], requires=[f"botocore=={sdk['botocore']}"])
            make_wheel(wheels, "botocore", sdk["botocore"], files={"botocore.py": ""})
    return index


@pytest.fixture
def lambda_function(
    cloud: Cloud, index: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Function:
    monkeypatch.setattr(function, "_HOME", tmp_path / "tmp")
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "tmp" / "store"))
    monkeypatch.setenv("HOME", str(tmp_path / "tmp"))
    return Function(cloud, index, monkeypatch)


class Function:
    """The function as it is deployed, and the AWS that it finds."""

    def __init__(self, cloud: Cloud, index: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.index, self._monkeypatch = cloud, index, monkeypatch

    def __call__(self, **event: Any) -> dict[str, Any]:
        reply = function.handler(event, SimpleNamespace(invoked_function_arn=ARN))
        assert json.loads(json.dumps(reply)) == reply
        return reply

    def with_bucket(self) -> Any:
        s3 = self.cloud.client("s3")
        s3.create_bucket(Bucket="zips", CreateBucketConfiguration={"LocationConstraint": REGION})
        self._monkeypatch.setenv("LAYER_BUCKET", "zips")
        self._monkeypatch.setenv("LAYER_PREFIX", "made/")
        return s3

    def versions(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cloud.client("lambda").list_layer_versions(LayerName=name)[
            "LayerVersions"
        ]
        return found


def sent(cloud: Cloud) -> list[bytes]:
    """Return the zips that are sent to Lambda from now on."""
    import base64

    found: list[bytes] = []

    def hear(document: Any) -> None:
        if "ZipFile" in document.get("Content", {}):
            found.append(base64.b64decode(document["Content"]["ZipFile"]))

    cloud.heard = hear
    return found


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_a_name_alone_is_enough(lambda_function: Function) -> None:
    zips = sent(lambda_function.cloud)
    reply = lambda_function(ModuleName="demo==0.22.2.post1")
    name = f"demo_0222post1_{OWN.short}"
    assert (reply["StatusCode"], reply["LayerName"], reply["Version"]) == (200, name, 1)
    assert name in reply["Payload"]
    assert reply["New"]
    (version,) = lambda_function.versions(name)
    assert version["CompatibleRuntimes"] == [OWN.runtime]
    (package,) = reply["Packages"]
    assert package["Version"] == "0.22.2.post1"
    assert f"sha256:{package['Sha256']}" in version["Description"]
    assert f"unzipped:{reply['Unzipped']} " in version["Description"]
    (content,) = zips
    assert f"{SITE}/demo/__init__.py" in names(content)
    assert not any("needed" in one for one in names(content))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert sum(one.file_size for one in archive.infolist()) == reply["Unzipped"]


def test_the_second_time_nothing_is_made_and_nothing_is_read(lambda_function: Function) -> None:
    first = lambda_function(ModuleName="demo", CustomLayerName="mine")
    lambda_function.index.requests.clear()
    again = lambda_function(ModuleName="demo", CustomLayerName="mine")
    assert again == {
        **first,
        "New": False,
        "Payload": first["Payload"].replace("was published", "is there already"),
    }
    assert len(lambda_function.versions("mine")) == 1
    assert not any(one.name.endswith(".whl") for one in lambda_function.index.requests)
    assert lambda_function(ModuleName="other", CustomLayerName="mine")["Version"] == 2
    assert lambda_function(ModuleName="demo", CustomLayerName="mine")["Version"] == 3


def test_dependencies_come_along_where_they_are_asked_for_and_the_sdk_does_not(
    lambda_function: Function,
) -> None:
    zips = sent(lambda_function.cloud)
    reply = lambda_function(ModuleName="demo", Dependencies=True)
    assert reply["LayerName"] == f"demo_10_{OWN.short}_deps"
    assert [one["Name"] for one in reply["Packages"]] == ["demo", "needed"]
    assert {f"{SITE}/demo/__init__.py", f"{SITE}/needed.py"} <= set(names(zips[0]))
    again = lambda_function(ModuleName="demo", Dependencies=True)
    assert (again["New"], again["Packages"]) == (False, reply["Packages"])
    reply = lambda_function(ModuleName="boto3", Dependencies=True)
    assert [one["Name"] for one in reply["Packages"]] == ["boto3", "botocore"]


def test_what_an_extra_wants_comes_along(lambda_function: Function, wheels: Path) -> None:
    needs = ["needed ; extra == 'more'", "other"]
    make_wheel(wheels, "extended", "1.0", files={"extended.py": ""}, requires=needs, extras=["more"])
    for module, more in (("extended[more]", ["needed", "other"]), ("extended", ["other"])):
        reply = lambda_function(ModuleName=module, Dependencies=True)
        assert [one["Name"] for one in reply["Packages"]] == ["extended", *more]


def test_an_sdk_that_the_runtime_does_not_bring_comes_along_whole(
    lambda_function: Function, wheels: Path
) -> None:
    make_wheel(wheels, "botocore", "1.0", files={"botocore.py": ""})
    make_wheel(wheels, "boto3", "1.0", files={"boto3.py": ""}, requires=["botocore==1.0"])
    make_wheel(wheels, "narrow", "1.0", files={"narrow.py": ""}, requires=["botocore==1.0"])
    reply = lambda_function(ModuleName="narrow", Dependencies=True)
    assert [(one["Name"], one["Version"]) for one in reply["Packages"]] == [
        ("narrow", "1.0"),
        ("boto3", "1.0"),
        ("botocore", "1.0"),
    ]


def test_several_requirements_another_runtime_and_architecture(lambda_function: Function) -> None:
    zips = sent(lambda_function.cloud)
    reply = lambda_function(Requirements=["demo<1", "other"], Runtime="py39", Architecture="arm64")
    assert reply["StatusCode"] == 200
    assert reply["LayerName"] == "demo_0222post1_py39_and1more_arm64"
    (version,) = lambda_function.versions(reply["LayerName"])
    assert version["CompatibleRuntimes"] == ["python3.9"]
    assert version["CompatibleArchitectures"] == ["arm64"]
    assert "python/lib/python3.9/site-packages/other.py" in names(zips[0])
    reply = lambda_function(Requirements=["demo", "demo<1"])
    assert reply["LayerName"] == f"demo_0222post1_{OWN.short}"
    both = lambda_function(ModuleName="demo", Requirements=["other"], CustomLayerName="both")
    assert [one["Name"] for one in both["Packages"]] == ["demo", "other"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "the event names no module"),
    ({"ModuleName": ""}, "the event names no module"),
    ({"ModuleName": "  "}, "the event names no module"),
    ({"ModuleName": None}, "the event names no module"),
    ({"ModuleName": 7}, "the event names no module"),
    ({"ModuleName": ["demo"]}, "the event names no module"),
    ({"ModuleName": "../../etc/passwd"}, "is no name of a module"),
    ({"ModuleName": "/etc/passwd"}, "is no name of a module"),
    ({"ModuleName": "demo/../x"}, "is no name of a module"),
    ({"ModuleName": "file:///etc/passwd"}, "is no name of a module"),
    ({"ModuleName": "demo @ file:///etc/passwd"}, "is no name of a module"),
    ({"ModuleName": "demo @ https://host/demo.whl"}, "is no name of a module"),
    ({"ModuleName": "git+https://host/demo"}, "is no name of a module"),
    ({"ModuleName": "-r requirements.txt"}, "is no name of a module"),
    ({"ModuleName": "--index-url=https://host"}, "is no name of a module"),
    ({"ModuleName": "demo\n--index-url=https://host"}, "is no name of a module"),
    ({"ModuleName": "demo; python_version > '3'"}, "is no name of a module"),
    ({"ModuleName": "demo==1 other"}, "is no name of a module"),
    ({"ModuleName": "x" * 1000}, "is no name of a module"),
    ({"ModuleName": "demo", "CustomLayerName": "a b"}, "CustomLayerName is no name for a layer"),
    ({"ModuleName": "demo", "CustomLayerName": "../x"}, "CustomLayerName is no name for a layer"),
    ({"ModuleName": "demo", "CustomLayerName": "x" * 141}, "CustomLayerName is no name for a layer"),
    ({"ModuleName": "demo", "CustomLayerName": 5}, "CustomLayerName is no name for a layer"),
    ({"ModuleName": "demo", "Dependencies": "yes"}, "Dependencies is true or false"),
    ({"ModuleName": "demo", "Runtime": "python2.7"}, "there is no Lambda runtime called 'python2.7'"),
    ({"ModuleName": "demo", "Runtime": 3.12}, "Runtime and Architecture are texts"),
    ({"ModuleName": "demo", "Architecture": "riscv"}, "there is no Lambda architecture called 'riscv'"),
    ({"ModuleName": "demo", "Runtime": "py37", "Architecture": "arm64"}, "python3.7 does not run on arm64"),
    ({"Requirements": "demo"}, "Requirements is no list of names"),
    ({"Requirements": [1]}, "Requirements is no list of names"),
    ({"Requirements": []}, "the event names no module"),
    ({"Requirements": [f"demo{n}" for n in range(60)]}, "60 requirements are more than the 50"),
    ({"ModuleNam": "demo"}, "the event has no key 'ModuleNam'"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "text"), BAD)
def test_events_that_mean_nothing(event: dict[str, Any], text: str, caplog: pytest.LogCaptureFixture) -> None:
    reply = function.handler(event, None)
    assert (reply["StatusCode"], reply["FunctionError"]) == (404, "ResourceNotFoundException")
    assert text in reply["Payload"]
    assert [(one.levelname, one.message) for one in caplog.records] == [("ERROR", reply["Payload"])]


@pytest.mark.parametrize("event", [None, [], "demo", 5])
def test_what_is_no_event(event: object) -> None:
    with pytest.raises(NotFoundError):
        read(event)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("nothing-of-that-name", "nothing-of-that-name was not found"),
        ("demo==9.9", "there is no version of demo==9.9"),
        ("binary", "no version has a wheel that fits"),
    ],
)
def test_what_the_index_does_not_have(lambda_function: Function, module: str, text: str) -> None:
    for dependencies in (False, True):
        reply = lambda_function(ModuleName=module, Dependencies=dependencies)
        assert (reply["StatusCode"], reply["FunctionError"]) == (404, "ResourceNotFoundException")
        assert text in reply["Payload"]
    assert lambda_function.cloud.asked("PublishLayerVersion") == 0


@pytest.mark.parametrize(
    ("operation", "code", "text"),
    [
        (
            "PublishLayerVersion",
            "AccessDeniedException",
            "access denied for lambda:PublishLayerVersion: not so",
        ),
        ("ListLayerVersions", "AccessDeniedException", "access denied for lambda:ListLayerVersions: not so"),
        ("PublishLayerVersion", "CodeStorageExceededException", "the code storage of"),
        ("ListLayerVersions", "ExpiredTokenException", "the credentials have expired"),
    ],
)
def test_what_aws_refuses(lambda_function: Function, operation: str, code: str, text: str) -> None:
    lambda_function.cloud.script(operation, Fault(status=403, code=code, message="not so"))
    reply = lambda_function(ModuleName="demo")
    assert (reply["StatusCode"], reply["FunctionError"]) == (500, "ServiceException")
    assert text in reply["Payload"]
    assert "secret-of-the-test" not in reply["Payload"]


def test_an_index_that_does_not_answer(lambda_function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://somebody:secret-of-the-test@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    reply = lambda_function(ModuleName="demo")
    assert (reply["StatusCode"], reply["FunctionError"]) == (500, "ServiceException")
    assert "Failed to fetch" in reply["Payload"]
    assert "secret-of-the-test" not in reply["Payload"]


def test_what_nobody_has_thought_of_is_answered_too(
    lambda_function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("never seen before")

    monkeypatch.setattr(function, "make", broken)
    reply = lambda_function(ModuleName="demo")
    assert reply == {
        "StatusCode": 500,
        "FunctionError": "ServiceException",
        "Payload": "RuntimeError: never seen before",
    }


def test_a_publish_whose_answer_was_lost_makes_one_version(lambda_function: Function) -> None:
    lambda_function.cloud.script("PublishLayerVersion", Fault(reset=True, after=True))
    assert lambda_function(ModuleName="demo", CustomLayerName="mine")["Version"] == 1
    assert len(lambda_function.versions("mine")) == 1


def test_nothing_is_left_in_tmp_but_what_uv_keeps(lambda_function: Function, tmp_path: Path) -> None:
    lambda_function(ModuleName="demo")
    assert {path.name for path in (tmp_path / "tmp").iterdir()} <= {"uv"}
    lambda_function(ModuleName="binary")
    assert {path.name for path in (tmp_path / "tmp").iterdir()} <= {"uv"}


# The limits of a Lambda that takes next to nothing but from S3.
SMALL = {"direct_upload_bytes": 300, "layer_description": 256}


def test_a_large_zip_goes_through_the_bucket_while_it_is_made(
    lambda_function: Function, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("add_module.making.limit", SMALL.__getitem__)
    reply = lambda_function(ModuleName="demo")
    assert (reply["StatusCode"], reply["FunctionError"]) == (500, "ServiceException")
    assert "set LAYER_BUCKET" in reply["Payload"]
    s3 = lambda_function.with_bucket()
    reply = lambda_function(ModuleName="demo", Dependencies=True)
    assert reply["StatusCode"] == 200
    (key,) = [one["Key"] for one in s3.list_objects_v2(Bucket="zips")["Contents"]]
    assert key.startswith("made/")
    content = s3.get_object(Bucket="zips", Key=key)["Body"].read()
    assert f"{SITE}/needed.py" in names(content)
    made = lambda_function.cloud.client("lambda").get_layer_version(
        LayerName=reply["LayerName"], VersionNumber=1
    )
    assert made["Content"]["CodeSha256"] == reply["CodeSha256"]
    assert tmp_path


def test_what_s3_refuses(lambda_function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("add_module.making.limit", SMALL.__getitem__)
    monkeypatch.setenv("LAYER_BUCKET", "no-such-bucket")
    reply = lambda_function(ModuleName="demo")
    assert (reply["StatusCode"], reply["FunctionError"]) == (500, "ServiceException")
    assert "there is no such bucket" in reply["Payload"]
    assert "--s3-bucket" not in reply["Payload"]
    lambda_function.with_bucket()
    lambda_function.cloud.script("PutObject", Fault(status=403, code="AccessDenied", message="not so"))
    reply = lambda_function(ModuleName="demo")
    assert reply["StatusCode"] == 500
    assert "access denied for s3:PutObject: not so" in reply["Payload"]
    assert lambda_function.cloud.asked("PublishLayerVersion") == 0


@pytest.mark.parametrize("template", ["template.yaml", "serverless.yml"])
def test_the_templates_allow_what_is_asked_for_and_no_more(
    lambda_function: Function, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    text = (Path(__file__).parent.parent / "lambda" / "add_module" / template).read_text()
    allowed = set(re.findall(r"\b((?:lambda|s3):[A-Z]\w+)", text))
    lambda_function.with_bucket()
    monkeypatch.setattr("add_module.making.limit", SMALL.__getitem__)
    lambda_function.cloud.requests.clear()
    for _ in range(2):
        assert lambda_function(ModuleName="demo")["StatusCode"] == 200
    monkeypatch.setattr("add_module.making._layer_zip", with_another_digest(making._layer_zip))
    reply = lambda_function(ModuleName="other")
    assert "the new version did not hold the zip" in reply["Payload"]
    asked = {one.operation for one in lambda_function.cloud.requests}
    used = {f"{'s3' if one.endswith('Object') else 'lambda'}:{one}" for one in asked}
    # Lambda reads the bucket in the function's name; an upload is given up where it fails.
    assert allowed == used | {"s3:GetObject", "s3:AbortMultipartUpload"}


def with_another_digest(layer_zip: Any) -> Any:
    return lambda *arguments: replace(layer_zip(*arguments), code_sha256="another")


def test_a_wheel_that_is_another_one_makes_no_layer(lambda_function: Function, wheels: Path) -> None:
    made = make_wheel(wheels, "rotten", "1.0", files={"rotten.py": "R = 1\n" * 5000})
    changed = (wheels / made.filename).read_bytes()[:-1] + b"?"
    lambda_function.index.script(made.filename, *[OfIndex(body=changed)] * 4)
    reply = lambda_function(ModuleName="rotten")
    assert (reply["StatusCode"], reply["FunctionError"]) == (500, "ServiceException")
    assert "this is not the file that was locked" in reply["Payload"]
    assert lambda_function.cloud.asked("PublishLayerVersion") == 0


LARGE, LIMIT = 2 << 20, 7 << 19


@pytest.fixture
def large(lambda_function: Function, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Function:
    """Give an index with a module above the limit, which is lower here than Lambda's."""
    random.seed(5)
    words = [f"word{number}" for number in range(3000)]
    text = " ".join(random.choices(words, k=LARGE // 8))[:LARGE]  # noqa: S311 - the same text in every run
    size = "os.path.getsize(os.path.join(os.path.dirname(__file__), 'data.txt'))"
    files: dict[str, str | bytes] = {
        "large/__init__.py": f"import os\nSIZE = {size}\n",
        "large/data.txt": text,
        "large/more.txt": text[::-1],
    }
    make_wheel(wheels, "large", "1.0", files=files, requires=["needed"])
    for module in ("making", "bundling"):
        monkeypatch.setattr(f"add_module.{module}.most_unzipped", lambda: LIMIT)
    monkeypatch.setattr("add_module.bundling._SPARE", 0)
    monkeypatch.setattr("add_module.bundling._CODE", 0)
    return lambda_function


def text_size(large: Function) -> int:
    """Return the bytes of the large file in the wheel."""
    content = large.index.read("large-1.0-py3-none-any.whl")
    assert content is not None
    return zipfile.ZipFile(io.BytesIO(content)).getinfo("large/data.txt").file_size


def laid_down(zips: list[bytes], folder: Path) -> Path:
    """Unzip a layer, and return the folder of its modules."""
    zipfile.ZipFile(io.BytesIO(zips[-1])).extractall(folder)
    return folder / SITE


_IMPORT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import layerkit_loader, large
print(large.SIZE, large.__file__)
"""


def imported(site: Path, tmp: Path, **environment: str) -> str:
    """Import the module in a process of its own, as the runtime's .pth would have it."""
    tmp.mkdir()
    settings = {**os.environ, "LAYERKIT_TMP": str(tmp), **environment}
    command = [sys.executable, "-c", _IMPORT, str(site)]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_above_the_limit_becomes_a_bundle_that_can_be_imported(
    large: Function, tmp_path: Path
) -> None:
    zips = sent(large.cloud)
    reply = large(ModuleName="large")
    assert reply["StatusCode"] == 200, reply
    assert (reply["EphemeralStorage"], reply["Frames"]) == (512, [])
    assert [one["Name"] for one in reply["Packages"]] == ["large"]
    site = laid_down(zips, tmp_path / "opt")
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= LIMIT
    assert not (site / "large" / "data.txt").exists() or not (site / "large" / "more.txt").exists()
    size, place = imported(site, tmp_path / "t").split()
    assert int(size) == text_size(large)
    assert place.startswith((str(tmp_path / "t"), str(site)))
    again = large(ModuleName="large")
    assert (again["New"], again["EphemeralStorage"], again["Unzipped"]) == (False, 512, reply["Unzipped"])


def test_frames_that_no_layer_can_hold_stay_in_the_bucket(
    large: Function, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("making", "bundling"):
        monkeypatch.setattr(f"add_module.{module}.most_unzipped", lambda: 300_000)
    reply = large(ModuleName="large")
    assert (reply["StatusCode"], reply["FunctionError"]) == (500, "ServiceException")
    assert "more than a layer takes even in frames" in reply["Payload"]
    assert "set LAYER_BUCKET" in reply["Payload"]
    s3, zips = large.with_bucket(), sent(large.cloud)
    reply = large(ModuleName="large")
    assert reply["StatusCode"] == 200, reply
    (frames,) = reply["Frames"]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="zips")["Contents"]] == [f"made/frames/{frames}"]
    site = laid_down(zips, tmp_path / "opt")
    size, _ = imported(site, tmp_path / "t").split()  # the loader reads them with boto3, from our S3
    assert int(size) == text_size(large)


def test_little_room_in_tmp_is_enough_for_a_large_wheel(
    large: Function, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a wheel of megabytes hardly more than its headers lies on disk at any time."""
    seen: list[int] = []
    monkeypatch.setattr("layerkit.fetch.ranges._LARGE", 1 << 16)
    monkeypatch.setattr("layerkit.fetch.ranges._HEAD", 1 << 12)
    monkeypatch.setattr("layerkit.fetch.ranges._TAIL", 1 << 14)
    monkeypatch.setattr("add_module.wheels.Wheels._archive", narrow(Wheels._archive, seen))
    zips = sent(large.cloud)
    assert large(ModuleName="large")["StatusCode"] == 200
    assert seen
    assert max(seen) < 200_000
    laid_down(zips, tmp_path / "opt")


def narrow(archive: Any, seen: list[int]) -> Any:
    """Return the method with little room, and what it keeps of each wheel noted."""

    def narrowed(self: Wheels, package: Any) -> Any:
        self._room = self._share = 200_000
        found = archive(self, package)
        if not isinstance(found.fd, int):
            seen.append(found.fd.kept)
        return found

    return narrowed
