"""`layerkit check --in-image` with a real engine: what a function would find, and what it may not do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from factory import make_wheel
from layerkit.cli import run
from layerkit.container import owner
from layerkit.container.engine import OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from loopback import Loopback
    from stand_ins import StandIns

Capture = pytest.CaptureFixture[str]

# Looks around when it is imported, and fails with what it saw as its last line.
_WITNESS = """
import errno, json, os, socket, sys

def refused(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"

def fill(count):
    with open("/tmp/filled", "wb") as file:
        for _ in range(count):
            file.write(bytes(1 << 20))

seen = {
    "opt": refused(lambda: open("/opt/python/new", "w")),
    "task": refused(lambda: open("/var/task/new", "w")),
    "root": refused(lambda: open("/new", "w")),
    "tmp": refused(lambda: open("/tmp/new", "w")),
    "full": refused(lambda: fill(600)),
    "network": refused(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
    "user": os.getuid() != 0,
    "task_root": os.environ["LAMBDA_TASK_ROOT"],
    "region": os.environ["AWS_REGION"],
    "path": sys.path[:3],
    "cwd": os.getcwd(),
    "leftover": os.path.exists("/opt/.layerkit"),
}
os.unlink("/tmp/filled")
raise RuntimeError(json.dumps(seen))
"""

_PYPROJECT = """
[project]
name = "shop"
version = "1"
dependencies = ["lib", "witness", "hungry", "broken", "wants-more"]

[tool.layerkit]
runtimes = ["{runtime}"]
sdk = "auto"

[tool.layerkit.layers]
base = ["lib"]
odd = ["broken", "wants-more"]
big = ["hungry"]
eyes = ["witness"]

[tool.layerkit.functions.fine]
layers = ["base"]
code = "fine"

[tool.layerkit.functions.looks]
layers = ["base", "eyes"]

[tool.layerkit.functions.faulty]
layers = ["base", "odd", "big"]
"""


@pytest.fixture
def shop(
    index: Loopback,
    wheels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stand_ins: dict[str, StandIns],
) -> Path:
    """Build a project with three functions: one that is fine, one that looks around, one with faults."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", stand_ins["python3.12"].run)
    monkeypatch.setenv("LAYERKIT_IMAGE_PY39", stand_ins["python3.9"].run)
    for version in ("1.42.97", "1.40.4", "1.34.145"):
        make_wheel(wheels, "boto3", version, requires=[f"botocore=={version}"])
        make_wheel(wheels, "botocore", version)
    make_wheel(wheels, "lib", files={"lib/__init__.py": "import json\n", "space/part/__init__.py": ""})
    make_wheel(wheels, "witness", files={"witness.py": _WITNESS})
    make_wheel(wheels, "hungry", files={"hungry.py": "data = bytearray(b'x') * (700 << 20)\n"})
    make_wheel(
        wheels,
        "broken",
        files={
            "broken.cpython-312-x86_64-linux-gnu.so": "no ELF",
            "broken.cpython-39-x86_64-linux-gnu.so": "no",
        },
        tag="py3-none-manylinux2014_x86_64",
    )
    make_wheel(wheels, "wants-more", files={"wants_more/__init__.py": "", "for_tests.py": "import pytest\n"})
    assert index.names()
    folder = tmp_path / "shop"
    (folder / "fine").mkdir(parents=True)
    (folder / "fine" / "app.py").write_text("import lib, boto3\n")
    (folder / "fine" / "setup_needed.py").write_text("import os\nos.environ['TABLE']\n")
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(runtime="python3.12"))
    return folder


@pytest.fixture(autouse=True)
def _clean(engine: DockerClient) -> Iterator[None]:
    """Nothing of ours may be left on the engine, whatever a test does."""
    yield
    labelled: dict[str, Any] = {"label": OWNER}
    left = [*engine.containers.list(all=True, filters=labelled), *engine.volumes.list(filters=labelled)]
    assert [one.id for one in left if _mine(one)] == []


def _mine(thing: Any) -> bool:
    labels = thing.attrs.get("Labels") or thing.attrs["Config"]["Labels"]
    return bool(labels[OWNER] == owner.mark())


def _check(capsys: Capture, *arguments: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Run the check; return its code, the report of each stack, and what it said."""
    capsys.readouterr()
    code = run(["check", *arguments, "--in-image", "--json"])
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert "targets" in document, document
    return code, {one["stack"]: one for one in document["targets"]}, told.err


def _codes(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["severity"], one["code"], one["where"]) for one in report["findings"]}


@pytest.mark.parametrize("runtime", ["python3.9", "python3.12"])
def test_every_stack_is_looked_at_with_lambdas_limits(
    shop: Path, runtime: str, capsys: Capture, engine: DockerClient, stand_ins: dict[str, StandIns]
) -> None:
    assert run(["build", str(shop), "--runtime", runtime, "--quiet"]) == 0
    since = time.time()
    code, found, said = _check(capsys, "--project", str(shop), "--runtime", runtime)
    assert code == 6, said
    prefix = f"py{runtime.removeprefix('python').replace('.', '')}-shop-1"
    image = stand_ins[runtime].run
    differs = ("warning", "image-differs", image)
    assert _codes(found["fine"]) == {
        differs,
        ("warning", "code-import", f"{prefix}-fine-code.zip: setup_needed"),
    }
    modules = {one["name"]: one for one in found["fine"]["in_image"]["modules"]}
    assert set(modules) == {"app", "boto3", "lib", "setup_needed", "space.part"}
    assert modules["space.part"]["package"] == "lib"
    assert [name for name, one in modules.items() if not one["imported"]] == ["setup_needed"]
    assert found["fine"]["in_image"]["python"] == stand_ins[runtime].python
    assert found["fine"]["in_image"]["pip"]

    (witness,) = [one for one in found["looks"]["in_image"]["modules"] if one["name"] == "witness"]
    assert json.loads(witness["error"].removeprefix("RuntimeError: ")) == {
        "opt": "EROFS",
        "task": "EROFS",
        "root": "EROFS",
        "tmp": "allowed",
        "full": "ENOSPC",
        "network": "ENETUNREACH",
        "user": True,
        "task_root": "/var/task",
        "region": "us-east-1",
        "path": ["/var/task", f"/opt/python/lib/{runtime}/site-packages", "/opt/python"],
        "cwd": "/var/task",
        "leftover": False,
    }

    assert _codes(found["faulty"]) == {
        differs,
        ("error", "import-failed", f"{prefix}-odd.zip: broken"),
        ("warning", "import-optional", f"{prefix}-odd.zip: wants-more"),
        ("error", "import-failed", f"{prefix}-big.zip: hungry"),
    }
    texts = {one["where"]: one["text"] for one in found["faulty"]["findings"]}
    assert (
        "it takes more than the 536,870,912 bytes of memory that it had" in texts[f"{prefix}-big.zip: hungry"]
    )

    # Two containers for the three stacks: one that unpacks, one that is the function's.
    asked = {"event": "start", "label": f"{OWNER}={owner.mark()}"}
    started = engine.events(since=int(since), until=int(time.time()) + 1, filters=asked, decode=True)
    assert len([one for one in started if one["timeNano"] > since * 1e9]) == 2


def test_more_memory_helps_and_the_project_may_say_what_may_fail(shop: Path, capsys: Capture) -> None:
    path = shop / "pyproject.toml"
    path.write_text(
        path.read_text().replace('sdk = "auto"', 'import-may-fail = ["broken", "witness"]\nsdk = "auto"')
    )
    assert run(["build", str(shop), "--quiet"]) == 0
    code, found, _ = _check(capsys, "--project", str(shop), "--memory", "1536")
    assert code == 0
    assert found["faulty"]["in_image"]["memory"] == 1536 << 20
    assert "import-allowed" in {one["code"] for one in found["faulty"]["findings"]}


def test_given_zips_are_merged_in_order_and_pip_says_what_conflicts(
    shop: Path, wheels: Path, tmp_path: Path, capsys: Capture
) -> None:
    text = '[project]\nname = "{0}"\nversion = "1"\ndependencies = ["{1}"]\n'
    text += '[tool.layerkit]\nruntimes = ["py312"]\n'
    make_wheel(wheels, "lib", "2.0", files={"lib/__init__.py": "NEW = True\n"})
    make_wheel(
        wheels, "user", requires=["lib<2"], files={"user.py": "import lib\nassert not hasattr(lib, 'NEW')\n"}
    )
    zips = []
    for name, need in (("low", "user"), ("high", "lib>=2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(text.format(name, need))
        assert run(["build", str(tmp_path / name), "--quiet"]) == 0
        zips += [str(path) for path in (tmp_path / name / "dist").rglob("*.zip")]
    assert len(zips) == 2
    assert shop.exists()
    code, found, _ = _check(capsys, *zips, "--runtime", "py312")
    assert code == 6
    codes = _codes(found["given"])
    assert ("error", "pip-check", "user") in codes
    assert ("error", "import-failed", "py312-low-1-default.zip: user") in codes
    # The other way round the older one wins.
    code, found, _ = _check(capsys, *reversed(zips), "--runtime", "py312")
    assert "import-failed" not in {name for _, name, _ in _codes(found["given"])}


def test_a_zip_that_is_refused_goes_into_no_container(
    shop: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no zip")
    assert shop.exists()
    code, found, _ = _check(capsys, str(bad), "--runtime", "py312")
    assert (code, {name for _, name, _ in _codes(found["given"])}) == (6, {"archive"})
    assert "in_image" not in found["given"]


@pytest.fixture
def bare(
    shop: Path, engine: DockerClient, stand_ins: dict[str, StandIns], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Let the image of python3.12 be one without pip."""
    assert shop.exists()
    remove = "import pip, shutil, os; shutil.rmtree(os.path.dirname(pip.__file__))"
    container = engine.containers.create(stand_ins["python3.12"].run, ["python3.12", "-c", remove])
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0
        image = container.commit("layerkit-test-without-pip")
    finally:
        container.remove(force=True)
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", str(image.id))
    yield
    engine.images.remove(str(image.id))


@pytest.mark.usefixtures("bare")
def test_an_image_without_pip_gets_one_from_the_index(
    shop: Path, wheels: Path, capsys: Capture, real_pip: Path
) -> None:
    shutil.copy(real_pip, wheels)
    assert run(["build", str(shop), "--quiet"]) == 0
    code, found, said = _check(capsys, "--project", str(shop))
    assert code == 6, said
    assert found["fine"]["passed"], found["fine"]["findings"]
    assert found["fine"]["in_image"]["pip"] == real_pip.name.split("-")[1]


@pytest.fixture(scope="module")
def real_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a wheel of pip, from the real index."""
    folder = tmp_path_factory.mktemp("pip")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, "pip"], check=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel
