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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

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
