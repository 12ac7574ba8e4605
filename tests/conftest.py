"""What many tests share: a store of their own, an index on the loopback, a quiet environment."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aws import Cloud, variables
from layerkit.store import Store
from loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

# What this machine's user has read from images decides nothing in a test, nor in a program that one starts.
os.environ["LAYERKIT_FACTS"] = str(Path(__file__).with_name("no facts"))
_UV_SETTINGS = ("UV_INDEX", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores: tests wait for programs and servers half of the time."""
    from layerkit.cores import cores

    return cores() + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep in one process of several what shares an engine or a gigabyte of wheels, and each file."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Files(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _sharing(config.rootpath / nodeid.partition("::")[0])

    return Files(config, log)


@cache
def _sharing(path: Path) -> str:
    """Return what a file's tests share with those of others, else the file."""
    if path.parent.name == "docker":
        return "engine"
    return "workshop" if "workshop: Workshop" in path.read_text() else str(path)


@pytest.fixture(autouse=True)
def compiles_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test without an engine of its own pull an image of half a gigabyte to compile bytecode."""
    if "engine" not in request.fixturenames:
        monkeypatch.setattr("layerkit.bytecode.in_image.Images.way", "")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give an empty store, which is also the one that the commands use."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Give the folder whose wheels the index serves."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def index(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve the wheels as the only index there is, to uv and to layerkit."""
    for name in _UV_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with Loopback(wheels) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.simple)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield server


@cache
def _loader(_path: str | None = None) -> object:
    from botocore.loaders import Loader

    return Loader()


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Cloud]:
    """Start one moto server with its front for all tests of this process."""
    with Cloud.start() as cloud:
        yield cloud


@pytest.fixture
def cloud(aws_server: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Give an AWS with nothing in it, which is also the one that boto3 speaks with, without long waits."""
    aws_server.reset()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        **variables(aws_server.url),
        "AWS_CONFIG_FILE": str(tmp_path / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    # Reading AWS's models is most of a short command; the tests read them once.
    monkeypatch.setattr("botocore.session.create_loader", _loader)
    monkeypatch.setattr("layerkit.publish.calls.FIRST_WAIT", 0.001)
    monkeypatch.setattr("layerkit.publish.functions.LOOK", 0.01)
    return aws_server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for the loopback, with its key, in one PEM file."""
    folder = tmp_path_factory.mktemp("tls")
    pem = folder / "self.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
    # Whom it is for, and nobody else: a strict reader takes no authority for a server.
    names += ["-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("making a certificate needs the openssl program")
    pem.write_text((folder / "crt").read_text() + (folder / "key").read_text())
    return pem
