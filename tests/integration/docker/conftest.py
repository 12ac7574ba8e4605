"""What the tests with a real engine share: the engine of DOCKER_HOST, and stand-ins for Lambda's images.

Without an engine, or without what stand-ins are made of, they are skipped and say why. With
LAYERKIT_DOCKER_TESTS=required, as in .ci/run, that is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

import stand_ins as images
from sdists import Workshop, fetch_tools, serve_sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

    from loopback import Loopback

_HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this folder."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """Give a client of the engine."""
    import docker
    from docker.errors import DockerException

    scheme, _, address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    if scheme == "unix" and not Path(address).exists():
        _without(f"no Docker engine: there is no {address}")
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except DockerException as error:
        _without(f"no Docker engine answers: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def stand_ins(engine: DockerClient) -> dict[str, images.StandIns]:
    """Give the images of each runtime, made now where the engine does not have them."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        _without("stand-ins for the Lambda images need root and debootstrap")
    return images.make(engine)


def _without(reason: str) -> NoReturn:
    """Skip a test, or fail it where it has to run."""
    if os.environ.get("LAYERKIT_DOCKER_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what builds from source take."""
    folder = tmp_path_factory.mktemp("tools")
    fetch_tools(folder)
    return folder


@pytest.fixture
def source_index(tools: Path, index: Loopback, wheels: Path) -> Path:
    """Serve what builds take, and an SDK; give the folder that is served."""
    for path in tools.iterdir():
        shutil.copy(path, wheels)
    serve_sdk(wheels)
    assert index.names()
    return wheels


@pytest.fixture
def source_workshop(
    source_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: DockerClient,
    stand_ins: dict[str, images.StandIns],
) -> Workshop:
    """Give a project to be built from source, with an index of its own and the stand-ins as images."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    for runtime, made in stand_ins.items():
        short = runtime.removeprefix("python").replace(".", "")
        monkeypatch.setenv(f"LAYERKIT_BUILD_IMAGE_PY{short}", made.build)
        monkeypatch.setenv(f"LAYERKIT_IMAGE_PY{short}", made.run)
    root = tmp_path / "app"
    root.mkdir()
    return Workshop(
        root=root, wheels=source_index, store=tmp_path / "store", engine=engine, stand_ins=stand_ins
    )
