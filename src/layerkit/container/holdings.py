"""Reads from a runtime's image what the runtime is and what it brings."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from layerkit.container.interpreter import ask
from layerkit.container.room import Furnishing
from layerkit.errors import EngineError
from layerkit.image_facts import ImageFacts
from layerkit.redaction import redact
from layerkit.target import facts

if TYPE_CHECKING:
    from layerkit.container.images import Image
    from layerkit.container.room import Room, Rooms
    from layerkit.target import Target

# Where the loader looks: on Lambda, and in images that somebody made of Debian or Ubuntu.
_LIBRARIES = ("/lib64", "/usr/lib64", "/var/lang/lib", "/usr/lib/{machine}-linux-gnu")


def held(rooms: Rooms, image: Image, target: Target) -> ImageFacts:
    """Return what an image holds today; its container has no network.

    Raises EngineError for an image of another runtime, and for one without the AWS SDK, which every
    runtime brings.
    """
    room = rooms.room(image, Furnishing(network="none"))
    told, found = ask(room, target), _asked(room, target)
    packages = _canonical(found["packages"])
    folders = _folders(target)
    if not {"boto3", "botocore"} <= set(packages):
        raise EngineError(
            f"the image has no AWS SDK in {' or '.join(folders)}: it is not one of {target.runtime}",
            where=image.reference,
            fix=f"name the image that Lambda publishes for {target.runtime}",
        )
    return ImageFacts(
        image=image.reference,
        digest=image.digest,
        seen=datetime.now(timezone.utc).date().isoformat(),
        python=told.python,
        glibc=".".join(map(str, told.glibc)),
        packages=tuple(sorted(packages.items())),
        libraries=tuple(found["libraries"]),
    )


def _asked(room: Room, target: Target) -> dict[str, Any]:
    """Run what looks, in the image's own interpreter."""
    script = files("layerkit.container").joinpath("inside", "holdings.py").read_text(encoding="utf-8")
    libraries = [folder.format(machine=target.machine) for folder in _LIBRARIES]
    plan = {"packages": _folders(target), "libraries": libraries}
    said = room.output([target.interpreter, "-I", "-S", "-c", script, json.dumps(plan)])
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError as error:
        raise EngineError(
            f"the look inside the image broke off: {redact(said[-200:])}", where=room.image.reference
        ) from error
    return found


def _folders(target: Target) -> list[str]:
    """Return the folders with what the runtime brings, the one that Python searches first in front."""
    known = facts()["runtimes"][target.runtime]["sdk_dir"]
    site = f"/var/lang/lib/python{target.minor}/site-packages"
    return list(dict.fromkeys(one for one in ("/var/runtime", known, site) if one))


def _canonical(packages: dict[str, str]) -> dict[str, str]:
    from packaging.utils import canonicalize_name

    return {str(canonicalize_name(name)): version for name, version in packages.items()}
