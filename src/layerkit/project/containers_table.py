"""What [tool.layerkit] says about builds from source: packages, system packages, images, the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import UsageError
from layerkit.project.requirement import canonical, is_name
from layerkit.project.specs import Containers
from layerkit.project.tables import Table
from layerkit.target import parse_arch, parse_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KEYS", "read"]

KEYS = ("build", "system-packages", "docker")
_DOCKER = ("images", "build-images", "network")
# Names of system packages may carry versions and architectures, and never begin as an option does.
_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_:~=@/-]*")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]*")


def read(keys: Table) -> Containers:
    """Return what the table says; everything wrong is noted."""
    docker = Table(keys.values.get("docker", {}), keys.at("docker"), keys.faults, _DOCKER)
    return Containers(
        build=tuple(sorted({canonical(name) for name in _build(keys)})),
        system=tuple(dict.fromkeys(_system(keys))),
        images=tuple(sorted(_images(docker, "images"))),
        build_images=tuple(sorted(_images(docker, "build-images"))),
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
        if not isinstance(value, str) or not _IMAGE.fullmatch(value):
            docker.faults.add(path, f"{value!r} is not the name of an image, with a tag or a digest")
            continue
        runtime, dash, arch = name.partition("-")
        try:
            found = parse_runtime(runtime) + (f"-{parse_arch(arch)}" if dash else "")
        except UsageError as error:
            docker.faults.add(path, error.what, fix=error.fix)
        else:
            yield found, value
