"""What [tool.layerkit] says about builds from source: packages, system packages, images, the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import UsageError
from layerkit.project import dockerfile_table
from layerkit.project.requirement import canonical, is_name
from layerkit.project.specs import Containers
from layerkit.project.tables import Table
from layerkit.target import parse_arch, parse_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerkit.project.specs import Dockerfile

__all__ = ["KEYS", "read"]

KEYS = ("build", "system-packages", "docker")
_BUILDING = "build-images"
_DOCKER = ("images", _BUILDING, "network")
# Names of system packages may carry versions and architectures, and never begin as an option does.
_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_:~=@/-]*")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]*")


def read(keys: Table, root: Path) -> Containers:
    """Return what the table says, paths starting at `root`; everything wrong is noted."""
    docker = Table(keys.values.get("docker", {}), keys.at("docker"), keys.faults, _DOCKER)
    return Containers(
        build=tuple(sorted({canonical(name) for name in _build(keys)})),
        system=tuple(dict.fromkeys(_system(keys))),
        images=tuple(sorted(_images(docker, "images"))),
        build_images=tuple(sorted(_images(docker, _BUILDING))),
        build_files=tuple(sorted(_dockerfiles(docker, root), key=lambda pair: pair[0])),
        network=docker.string("network") or "bridge",
    )


def _build(keys: Table) -> Iterator[str]:
    """Yield the packages to build from source."""
    for path, text in keys.strings("build") or ():
        if is_name(text):
            yield text
        else:
            keys.faults.add(path, f"{text!r} is not the name of a package")


def _system(keys: Table) -> Iterator[str]:
    """Yield the system packages, in the order written."""
    for path, text in keys.strings("system-packages") or ():
        if _SYSTEM.fullmatch(text):
            yield text
        else:
            keys.faults.add(path, f"{text!r} is not the name of a system package")


def _images(docker: Table, key: str) -> Iterator[tuple[str, str]]:
    """Yield (runtime, or runtime and architecture; image) of a table of images."""
    for name, path, value in docker.tables(key):
        if key == _BUILDING and isinstance(value, dict):
            continue
        if not isinstance(value, str) or not _IMAGE.fullmatch(value):
            docker.faults.add(path, f"{value!r} is not the name of an image, with a tag or a digest")
        elif found := _target(name, path, docker):
            yield found, value


def _dockerfiles(docker: Table, root: Path) -> Iterator[tuple[str, Dockerfile]]:
    """Yield the same of the images to build in that are made from a Dockerfile."""
    for name, path, value in docker.tables(_BUILDING):
        if not isinstance(value, dict):
            continue
        inner = Table(value, path, docker.faults, dockerfile_table.KEYS)
        if "dockerfile" not in value:
            docker.faults.add(path, "a table here names a `dockerfile`")
        written, found = dockerfile_table.read(inner), _target(name, path, docker)
        if written and found:
            yield found, dockerfile_table.located(written, root, docker.faults)


def _target(name: str, path: str, docker: Table) -> str | None:
    """Return the runtime, or runtime and architecture, that a key names; None where it names none."""
    runtime, dash, arch = name.partition("-")
    try:
        return parse_runtime(runtime) + (f"-{parse_arch(arch)}" if dash else "")
    except UsageError as error:
        docker.faults.add(path, error.what, fix=error.fix)
        return None
