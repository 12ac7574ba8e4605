"""The function that makes layers, packaged by layerkit and started as on Lambda, with real packages."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aws import REGION, Cloud
from factory import make_wheel
from lambda_like import Function, install_runtime, missing, started, without
from layerkit.lock.places import uv_binary
from layerkit.target import Target, limit, target
from loopback import Loopback
from real import glibc, here, interpreter
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
MIB = 1 << 20
_LEFT_OVER = shutil.ignore_patterns("__pycache__", ".*")
_PARTS, _PART = 9, 32 * MIB
# Says what the function took: its own peak, and that of the largest program it started, in MiB.
_APP = """
import os, resource
from add_module.handler import handler as inner

def handler(event, context):
    reply = inner(event, context)
    with open("/proc/self/status") as status:
        own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10
    reply["Peak"] = own + (resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
    return reply
"""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """The function's layer and code, the runtime with its SDK, and an interpreter for it."""

    opt: Path
    task: Path
    runtime: Path
    python: Path
    on: Target


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Build the function's layer as `make layers` does, and lay it down as on Lambda."""
    if reason := missing():
        without(reason)
    on, arch = target("py312"), here()
    if arch is None or glibc() < on.glibc:
        pytest.skip("wheels for python3.12 on Lambda do not run here")
    python = interpreter("3.12")
    if python is None:
        pytest.skip("there is no Python 3.12 here")
    folder = tmp_path_factory.mktemp("deployed")
    on = target("py312", arch)
    opt, task = _built(folder, on)
    runtime = install_runtime(uv_binary(), python, folder / "runtime")
    assert on.sdk
    command = [uv_binary(), "pip", "install", "--quiet", "--target", str(runtime), "--python", str(python)]
    subprocess.run([*command, "--only-binary", ":all:", f"boto3=={on.sdk.boto3}"], check=True)
    yield Deployed(opt=opt, task=task, runtime=runtime, python=python, on=on)
    shutil.rmtree(folder)


def _built(folder: Path, on: Target) -> tuple[Path, Path]:
    """Build the function as `make layers` does; return where its layer and its code lie."""
    copy = folder / "repository"
    shutil.copytree(ROOT / "lambda" / "add_module", copy / "lambda" / "add_module", ignore=_LEFT_OVER)
    shutil.copytree(ROOT / "src", copy / "src", ignore=_LEFT_OVER)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "layerkit", "build", "--quiet", "--arch", on.arch]
    subprocess.run([*command, str(copy / "lambda" / "add_module")], check=True, stdout=subprocess.DEVNULL)
    (layer,) = copy.glob("dist/layers/*/*-layerkit.zip")
    (code,) = copy.glob("dist/layers/*/*-code.zip")
    assert layer.stat().st_size <= limit("direct_upload_bytes")
    unzip(layer, folder / "opt")
    unzip(code, folder / "task")
    (folder / "task" / "app.py").write_text(_APP)
    return folder / "opt", folder / "task"


@pytest.fixture
def start(deployed: Deployed, cloud: Cloud, tmp_path: Path) -> Callable[..., Any]:
    """Give what starts the function, with so much of /tmp and such variables."""
    cloud.client("s3").create_bucket(Bucket="zips", CreateBucketConfiguration={"LocationConstraint": REGION})

    def begin(tmp: int = 512, **environment: str) -> Any:
        function = Function(
            target=deployed.on,
            opt=deployed.opt,
            task=deployed.task,
            runtime=deployed.runtime,
            python=deployed.python,
            tmp=tmp * MIB,
            environment={
                "AWS_ENDPOINT_URL": cloud.url,
                "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST0000",
                "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "LAYER_BUCKET": "zips",
                **_way_out(),
                **environment,
            },
        )
        return started(function, tmp_path / "run")

    return begin


def _way_out() -> dict[str, str]:
    """Return what this machine's environment says about indexes, proxies and certificates."""
    known = ("UV_", "SSL_", "HTTP_", "HTTPS_", "ALL_")
    return {
        name: value for name, value in os.environ.items() if name.startswith(known) and "CACHE" not in name
    }


def sent(cloud: Cloud) -> list[bytes]:
    """Return the zips of the layers that are published from now on, wherever they come from."""
    import base64

    found: list[bytes] = []

    def hear(document: Any) -> None:
        content = document.get("Content", {})
        if "ZipFile" in content:
            found.append(base64.b64decode(content["ZipFile"]))
        elif "S3Key" in content:
            body = cloud.client("s3").get_object(Bucket=content["S3Bucket"], Key=content["S3Key"])["Body"]
            found.append(body.read())

    cloud.heard = hear
    return found


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
        refused = running.invoke({"ModuleName": "../../etc/passwd"})
        assert (refused["StatusCode"], refused["FunctionError"]) == (404, "ResourceNotFoundException")
        nobody = running.invoke({"ModuleName": "no-such-package-anywhere-at-all"})
        assert (nobody["StatusCode"], nobody["FunctionError"]) == (404, "ResourceNotFoundException")
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


def test_templates_pass_cfn_lint() -> None:
    from tools import CFN_LINT, tool

    folder = ROOT / "lambda" / "add_module"
    done = tool(CFN_LINT, "cfn-lint", "--", "template.yaml", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
