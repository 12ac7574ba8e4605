"""Builds whose work is done by others: the same bytes, the same errors, and workers that die."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from aws import REGION, Cloud
from crowd import Crowd
from factory import make_wheel
from layerkit.cli import run
from layerkit.shared import settle
from layerkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loopback import Loopback

Capture = pytest.CaptureFixture[str]
NAMES = ("quick", "brown", "fox", "lazy", "dog", "old")
PYPROJECT = """
[project]
name = "shop"
version = "1.0"

[tool.layerkit]
runtimes = ["python3.11", "python3.12"]
sdk-version = "1.42.0"

[tool.layerkit.layers]
base = ["quick", "brown"]
web = ["fox", "lazy"]
data = ["dog", "old"]
"""


@pytest.fixture(scope="module")
def crowd(aws_server: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Start a scheduler and three workers for all tests of this file; one of them will be killed."""
    environment = {
        "AWS_ENDPOINT_URL": aws_server.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST0000",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    with Crowd(tmp_path_factory.mktemp("crowd"), workers=3, environment=environment) as crowd:
        yield crowd


class Shop:
    """A project with an index, built here or by others."""

    def __init__(self, root: Path, wheels: Path, crowd: Crowd, capsys: Capture) -> None:
        """Lay it down."""
        make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
        make_wheel(wheels, "botocore", "1.42.0")
        for number, name in enumerate(NAMES):
            files = {f"{name}/m{one}.py": f"x = {number * one}\n" for one in range(5)}
            make_wheel(wheels, name, "1.0", files=files)
        self.root, self.crowd, self.capsys = root, crowd, capsys
        root.mkdir()
        (root / "pyproject.toml").write_text(PYPROJECT)

    def build(self, name: str, *arguments: str) -> tuple[int, str]:
        """Build into a folder with an empty store of its own; return the exit code and what was said."""
        os.environ["LAYERKIT_CACHE"] = str(self.root / f"store-{name}")
        self.capsys.readouterr()
        code = run(["build", str(self.root), "--output", str(self.root / f"out-{name}"), *arguments])
        settle()
        return code, self.capsys.readouterr().err

    def away(self, name: str, *arguments: str) -> tuple[int, str]:
        """Build with the workers, through the shared store."""
        os.environ["LAYERKIT_STORE"] = "s3://shared/ours"
        try:
            return self.build(name, "--scheduler", self.crowd.address, *arguments)
        finally:
            del os.environ["LAYERKIT_STORE"]

    def files(self, name: str) -> dict[str, bytes]:
        """Return all that was written."""
        root = self.root / f"out-{name}"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def shop(
    crowd: Crowd,
    cloud: Cloud,
    index: Loopback,
    wheels: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """Give a project, an empty bucket and the workers."""
    monkeypatch.setenv("LAYERKIT_CACHE", "")
    cloud.client("s3", "us-east-1").create_bucket(Bucket="shared")
    return Shop(tmp_path / "shop", wheels, crowd, capsys)


def test_workers_write_the_bytes_that_this_machine_writes(shop: Shop, cloud: Cloud) -> None:
    code, said = shop.away("away")
    assert code == 0, said
    assert "python3.12-x86_64: preparing 6 wheels" in said
    assert "python3.12-x86_64: composing 3 layers" in said
    mine = Store(shop.root / "store-away")
    assert not list(mine.root.rglob("*.run"))
    worked = [one for one in shop.crowd.folder.glob("worker-*") if list(one.rglob("*.run"))]
    assert len(worked) > 1
    assert shop.build("here")[0] == 0
    assert shop.files("away") == shop.files("here") != {}
    assert sum(name.endswith(".zip") for name in shop.files("here")) == 6
