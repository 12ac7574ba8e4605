"""The Dockerfiles of docker/ on a real engine, on stand-ins for the images that they start from.

A stand-in is a Debian without Amazon's packages; its `microdnf` here notes what it is asked for. So all that
these Dockerfiles do is seen, but for what Amazon's mirrors would give.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.archive import Archive
from sdists import Workshop, extension

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

_HERE = Path(__file__).parents[3] / "docker"
_NOTES = 'printf "#!/bin/sh\\necho \\$* >> /asked\\n" > /usr/bin/microdnf'
_DOCKER = """
[tool.layerkit.docker.build-images]
"3.12" = {dockerfile = "docker/al2023.Dockerfile", args = {PACKAGES = "libxml2-devel"}}
[tool.layerkit.layers]
main = {dependencies = true}
[tool.layerkit.layers.tools]
dockerfile = "docker/system-library.Dockerfile"
args = {PACKAGES = "openssl", FILES = "/usr/bin/openssl /usr/share/ca-certificates"}
"""


@pytest.fixture
def bench(source_workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """Give a project with a copy of docker/, on an image that has a note-taker for a package manager."""
    monkeypatch.delenv("LAYERKIT_BUILD_IMAGE_PY312")
    name = f"layerkit-test/amazon:{source_workshop.root.parent.name}"
    recipe = (
        f"FROM {source_workshop.stand_ins['python3.12'].build}\nRUN {_NOTES} && chmod 755 /usr/bin/microdnf\n"
    )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as context:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        context.addfile(entry, io.BytesIO(recipe.encode()))
    source_workshop.engine.images.build(
        fileobj=io.BytesIO(packed.getvalue()), custom_context=True, tag=name, rm=True
    )
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", name)
    shutil.copytree(_HERE, source_workshop.root / "docker")
    extension(source_workshop.wheels)
    source_workshop.declare("cext", more=_DOCKER)
    yield source_workshop
    for tag in (*made(source_workshop.engine), "layerkit/app-tools:python3.12-x86_64", name):
        source_workshop.engine.images.remove(tag, force=True)


def made(engine: DockerClient) -> list[str]:
    """Return the names of the images to build in that Dockerfiles of the project made."""
    return [tag for image in engine.images.list(name="layerkit-build/app") for tag in image.tags]


def output(engine: DockerClient, image: str, *command: str) -> str:
    printed: bytes = engine.containers.run(image, list(command), entrypoint="", remove=True)
    return printed.decode()


def test_packages_are_built_in_an_image_of_the_projects_dockerfile(bench: Workshop) -> None:
    said = bench.build()
    assert "making an image of docker/al2023.Dockerfile" in said
    assert "building cext 1.0 in docker/al2023.Dockerfile" in said
    (image,) = made(bench.engine)
    assert output(bench.engine, image, "cat", "/asked").splitlines() == [
        "install -y gcc gcc-c++ make patch pkgconf-pkg-config tar gzip xz libxml2-devel", "clean all",
    ]  # fmt: skip
    text = "".join(path.read_text() for path in (bench.root / ".layerkit").glob("*.toml"))
    assert 'image = "docker/al2023.Dockerfile"' in text
    # The other layer holds what its Dockerfile collected.
    (path,) = (bench.root / "dist" / "layers" / "python3.12-x86_64").glob("*-tools.zip")
    with Archive.open(path) as archive:
        names = {member.name for member in archive.members}
    assert {"bin/openssl", "lib/libcrypto.so.3"} <= names
    assert any(name.startswith("share/ca-certificates/") for name in names)
    assert not any(name.startswith("lib/libc.so") for name in names)
    # Once built, neither image nor container is needed.
    bench.engine.images.remove(image, force=True)
    shutil.rmtree(bench.root / "dist")
    assert "engine docker" not in bench.build()
    assert made(bench.engine) == []
