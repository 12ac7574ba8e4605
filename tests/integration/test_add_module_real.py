"""The function that makes layers, packaged by layerkit and started as on Lambda, with real packages."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from aws import REGION, Cloud, Fault
from deployed import BUCKET, MIB, ROOT, Deployed, configured, deploy, sent, undeployable
from factory import make_wheel
from lambda_like import missing, started, without
from layerkit.target import limit
from loopback import Loopback
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

_PARTS, _PART = 9, 32 * MIB
# No name, nothing that is a name, no such package, and one that has wheels for Windows alone.
NOTHING: list[Any] = [
    {},
    {"ModuleName": ""},
    {"ModuleName": "../../etc/passwd"},
    {"ModuleName": "/etc/six-1.16.0-py2.py3-none-any.whl"},
    {"ModuleName": "no-such-package-anywhere-at-all"},
    {"ModuleName": "pywin32"},
    "six",
]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Build the function's layer as `make layers` does, and lay it down as on Lambda."""
    if reason := missing():
        without(reason)
    if reason := undeployable():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("deployed")
    yield deploy(folder)
    shutil.rmtree(folder)


@pytest.fixture
def start(deployed: Deployed, cloud: Cloud, tmp_path: Path) -> Callable[..., Any]:
    """Give what starts the function, with so much of /tmp and such variables."""
    cloud.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def begin(tmp: int = 512, **environment: str) -> Any:
        return started(configured(deployed, cloud, tmp=tmp, environment=environment), tmp_path / "run")

    return begin


def run(deployed: Deployed, content: bytes, folder: Path, program: str, **environment: str) -> str:
    """Unzip a layer and run a program on it; return what it printed."""
    folder.mkdir()
    (folder / "layer.zip").write_bytes(content)
    unzip(folder / "layer.zip", folder / "opt")
    site = folder / "opt" / deployed.on.site_packages("versioned")
    start = f"import site; site.addsitedir({str(site)!r})\n"
    command = [str(deployed.python), "-I", "-c", start + program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_package_of_the_index(
    deployed: Deployed, start: Callable[..., Any], cloud: Cloud, tmp_path: Path
) -> None:
    zips = sent(cloud)
    with start() as running:
        assert running.init_seconds < 10
        reply = running.invoke({"ModuleName": "requests==2.32.3", "Dependencies": True})
        assert reply["StatusCode"] == 200, reply
        assert reply["LayerName"] == "requests_2323_py312_deps"
        assert {one["Name"] for one in reply["Packages"]} >= {"requests", "idna", "certifi"}
        again = running.invoke({"ModuleName": "requests==2.32.3", "Dependencies": True})
        assert (again["New"], again["LayerVersionArn"]) == (False, reply["LayerVersionArn"])
        for event in NOTHING:
            refused = running.invoke(event)
            assert (refused["StatusCode"], refused["FunctionError"]) == (404, "ResourceNotFoundException")
        cloud.script("PublishLayerVersion", Fault(status=403, code="AccessDeniedException", message="no"))
        denied = running.invoke({"ModuleName": "idna"})
        assert (denied["StatusCode"], denied["FunctionError"]) == (500, "ServiceException")
        assert "access denied for lambda:PublishLayerVersion" in denied["Payload"]
        log = running.log()
    assert "[INFO]" in log
    assert "[ERROR]" in log
    assert "secret-of-the-test" not in log
    program = "import requests; print(requests.__version__)"
    assert run(deployed, zips[0], tmp_path / "layer", program) == "2.32.3"


def test_scikit_learn_with_all_it_needs_in_512_megabytes(
    deployed: Deployed, start: Callable[..., Any], cloud: Cloud, tmp_path: Path
) -> None:
    zips = sent(cloud)
    with start() as running:
        reply = running.invoke({"ModuleName": "scikit-learn", "Dependencies": True})
    assert reply["StatusCode"] == 200, reply
    assert {one["Name"] for one in reply["Packages"]} >= {"scikit-learn", "scipy", "numpy", "joblib"}
    assert reply["Peak"] < 512
    program = (
        "from sklearn.linear_model import LinearRegression\n"
        "print(round(LinearRegression().fit([[0], [1], [2]], [1, 3, 5]).predict([[3]])[0]))"
    )
    assert run(deployed, zips[0], tmp_path / "layer", program) == "7"


def large_wheel(folder: Path) -> int:
    """Make a wheel that unzips to more than a layer takes, and is small by zstd alone; return its size."""
    chance = random.Random(3)  # noqa: S311 - the same bytes in every run
    words = [chance.randbytes(4096) for _ in range(64)]  # further apart than deflate looks back
    total = (
        "sum(os.path.getsize(os.path.join(here, name)) for name in os.listdir(here) if name.endswith('.bin'))"
    )
    files: dict[str, str | bytes] = {
        "huge/__init__.py": f"import os\nhere = os.path.dirname(__file__)\nTOTAL = {total}\n"
    }
    for number in range(_PARTS):
        files[f"huge/part{number}.bin"] = b"".join(chance.choices(words, k=_PART // 4096))
    stored = [name for name in files if name.endswith(".bin")]
    return make_wheel(folder, "huge", "1.0", files=files, stored=stored).size


def test_a_wheel_larger_than_tmp_becomes_a_bundle(
    deployed: Deployed, start: Callable[..., Any], cloud: Cloud, tmp_path: Path
) -> None:
    """A third of the wheel would fill /tmp, and what it unzips to is more than a layer takes."""
    (tmp_path / "wheels").mkdir()
    size, tmp = large_wheel(tmp_path / "wheels"), 96
    assert size > 2 * tmp * MIB
    assert limit("unzipped_bytes") < _PARTS * _PART
    zips = sent(cloud)
    with Loopback(tmp_path / "wheels") as index:
        index.ranges = True
        with start(tmp, UV_INDEX=index.simple) as running:
            reply = running.invoke({"ModuleName": "huge"})
    assert reply["StatusCode"] == 200, reply
    assert reply["Peak"] < 512
    assert reply["Unzipped"] < limit("unzipped_bytes")
    assert reply["Frames"] == []
    (tmp_path / "unpacked").mkdir()
    program = "import huge; print(huge.TOTAL)"
    printed = run(deployed, zips[0], tmp_path / "layer", program, LAYERKIT_TMP=str(tmp_path / "unpacked"))
    assert int(printed) == _PARTS * _PART


def test_the_templates_deploy_what_is_built(deployed: Deployed) -> None:
    for template in ("template.yaml", "serverless.yml"):
        text = (ROOT / "lambda" / "add_module" / template).read_text()
        assert sorted(re.findall(r"\.\./\.\./dist/layers/python3\.12-x86_64/(\S+)", text)) == deployed.zips
        assert "add_module.handler.handler" in text


def test_templates_pass_cfn_lint() -> None:
    from tools import CFN_LINT, tool

    folder = ROOT / "lambda" / "add_module"
    done = tool(CFN_LINT, "cfn-lint", "--", "template.yaml", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
