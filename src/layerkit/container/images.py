"""Which image stands for a target, and having it on the engine: found there, else pulled.

`run` is the runtime as Lambda publishes it, `build` the one with compilers. The defaults are facts
(runtimes.json); `[tool.layerkit.docker]` names others by tag or digest, and the environment stands
above that: LAYERKIT_IMAGE_PY312 and LAYERKIT_BUILD_IMAGE_PY312, or with _X86_64 or _ARM64 behind.
An image is used by its id, so that a tag which moves meanwhile changes nothing within a run.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from layerkit.errors import EngineError
from layerkit.redaction import redact
from layerkit.target import build_image, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from layerkit.container.engine import Engine
    from layerkit.target import Arch, Target

Purpose = Literal["run", "build"]

_PLATFORMS: dict[Arch, str] = {"x86_64": "amd64", "arm64": "arm64"}
_KEYS: dict[Purpose, str] = {"run": "images", "build": "build-images"}
_VARIABLES: dict[Purpose, str] = {"run": "LAYERKIT_IMAGE", "build": "LAYERKIT_BUILD_IMAGE"}
# Seconds between two words about a pull.
_PAUSE = 5.0
_REPOSITORY = "layerkit-images"
_NO_NAME = "invalid reference format"
# The label of an image that we had made: the digest of all that decides what is in it.
MADE = "layerkit.made"
# Two targets may need one tag for two architectures: pulling and looking at it must not be mixed.
_pulling = threading.Lock()


class Image(Struct, frozen=True, kw_only=True):
    """An image that is on the engine and made for the target's architecture.

    `reference` is what was asked for, `id` its content on this engine (sha256:...), `digest` the
    registry's name of that content where it came from one, else the id; of an image that a Dockerfile
    made (build_image.py) the digest of what it was made of.
    """

    reference: str
    id: str
    digest: str
    arch: Arch
    environment: tuple[str, ...] = ()

    @property
    def platform(self) -> str:
        """Return the platform as engines call it, such as linux/amd64."""
        return platform(self.arch)


def platform(arch: Arch) -> str:
    """Return an architecture of Lambda as engines call it."""
    return f"linux/{_PLATFORMS[arch]}"


def reference(
    target: Target,
    purpose: Purpose,
    configured: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return the image for a target: the environment's, the configured one, else the known one.

    `configured` are the images that the project names for this purpose, by `python3.12` or
    `python3.12-arm64`. Raises EngineError where nobody knows of any.
    """
    environment = os.environ if environment is None else environment
    name = f"{_VARIABLES[purpose]}_{target.short.upper()}"
    for found in (
        environment.get(f"{name}_{target.arch.upper()}"),
        environment.get(name),
        configured.get(target.key),
        configured.get(target.runtime),
        known(target, purpose),
    ):
        if found:
            return str(found)
    raise EngineError(
        f"nobody knows an image of {target.key} to {purpose} in",
        fix=f"name one in [tool.layerkit.docker] {_KEYS[purpose]}, or in {name}",
    )


def known(target: Target, purpose: Purpose) -> str | None:
    """Return the image that counts where nobody names one."""
    if purpose == "build":
        return build_image(target.runtime)
    found: str | None = facts()["runtimes"][target.runtime]["images"]["base"]
    return found


def there(engine: Engine, reference: str, arch: Arch) -> Image | None:
    """Return an image if it is on the engine and for that architecture; nothing is pulled."""
    return _image(reference, _inspect(engine, reference), arch)


def ready(
    engine: Engine, reference: str, arch: Arch, talk: Callable[[str], None], *, offline: bool = False
) -> Image:
    """Return an image that is on the engine, pulled if it was not there for this architecture.

    Raises EngineError when it cannot be had.
    """
    with _pulling:
        image = _here(engine, reference, arch)
        if image is not None:
            return image
        if offline:
            raise EngineError(
                f"the image for {platform(arch)} is not on the engine, and nothing may be pulled",
                where=reference,
                fix="run once without --offline, or `docker pull` it",
            )
        talk(f"pulling {reference} for {platform(arch)}")
        _keep_other(engine, reference)
        _pull(engine, reference, arch, talk)
        image = _image(reference, _inspect(engine, reference), arch)
        if image is None:
            raise EngineError(
                f"the registry has no image for {platform(arch)} under this name",
                where=reference,
                fix=f"name one for {arch} in [tool.layerkit.docker]",
            )
        return image


def newest(
    engine: Engine, reference: str, arch: Arch, talk: Callable[[str], None], *, offline: bool = False
) -> Image:
    """Return an image as its registry has it now; where that does not answer, as it is on the engine.

    Raises EngineError when it is in neither place.
    """
    with _pulling:
        if not offline and _here(engine, reference, arch) is not None:
            talk(f"pulling {reference} for {platform(arch)}, if there is a newer one")
            if there(engine, reference, arch) is None:
                _keep_other(engine, reference)
            try:
                _pull(engine, reference, arch, talk)
            except EngineError as error:
                talk(f"{reference}: taken as it is on the engine: {error.what}")
    return ready(engine, reference, arch, talk, offline=offline)


def _here(engine: Engine, reference: str, arch: Arch) -> Image | None:
    """Return an image that is on the engine for that architecture, under its name or one of ours."""
    image = _image(reference, _inspect(engine, reference), arch)
    if image is not None:
        return image
    repository, tag = _own_name(reference, _PLATFORMS[arch])
    return _image(reference, _inspect(engine, f"{repository}:{tag}"), arch)


def _keep_other(engine: Engine, reference: str) -> None:
    """Give the image that has a name now one of ours: a tag stands for one architecture at a time."""
    there = _inspect(engine, reference)
    if there is not None:
        repository, tag = _own_name(reference, there["Architecture"])
        with engine.talking(f"naming {reference}"):
            engine.client.tag(there["Id"], repository, tag=tag)


def _own_name(reference: str, architecture: str) -> tuple[str, str]:
    """Return the repository and tag by which an image of one architecture is found again."""
    return _REPOSITORY, f"{hashlib.sha256(reference.encode()).hexdigest()[:16]}-{architecture}"


def _inspect(engine: Engine, reference: str) -> Mapping[str, Any] | None:
    """Return what the engine knows of an image, None where it does not have it."""
    from docker.errors import APIError, NotFound

    with engine.talking(f"looking for the image {reference}"):
        try:
            found: Mapping[str, Any] = engine.client.inspect_image(reference)  # type: ignore[no-untyped-call]
        except NotFound:
            return None
        except APIError as error:
            if _NO_NAME not in str(error.explanation):
                raise
            fix = "name one with a tag or a digest in [tool.layerkit.docker], or in its variable"
            raise EngineError(f"{reference!r} is not the name of an image", fix=fix) from error
        return found


def _image(reference: str, found: Mapping[str, Any] | None, arch: Arch) -> Image | None:
    """Return the image if it is there and for that architecture."""
    if found is None or found.get("Architecture") != _PLATFORMS[arch]:
        return None
    config, digests = found.get("Config") or {}, found.get("RepoDigests") or []
    made = (config.get("Labels") or {}).get(MADE)
    return Image(
        reference=reference,
        id=found["Id"],
        digest=made or (digests[0].partition("@")[2] if digests else found["Id"]),
        arch=arch,
        environment=tuple(config.get("Env") or ()),
    )


def _told(
    reference: str, lines: Iterable[dict[str, Any]], talk: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Give the lines of a pull, and say from time to time how far it is."""
    done: dict[str, tuple[int, int]] = {}
    last = time.monotonic()
    for line in lines:
        progress = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and progress.get("total"):
            done[str(line.get("id"))] = int(progress.get("current", 0)), int(progress["total"])
        if done and time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            came, whole = (sum(column) for column in zip(*done.values(), strict=True))
            talk(f"pulling {reference}: {came / 1e6:,.0f} of {whole / 1e6:,.0f} MB")
        yield line


def _pull(engine: Engine, reference: str, arch: Arch, talk: Callable[[str], None]) -> None:
    """Pull an image; errors come as a refusal at once or as a line of the progress."""
    from docker.errors import APIError

    with engine.talking(f"pulling {reference}"):
        try:
            lines = engine.client.pull(reference, stream=True, decode=True, platform=platform(arch))
            said = [str(line["error"]) for line in _told(reference, lines, talk) if "error" in line]
        except APIError as error:
            said = [str(error.explanation or error)]
    if said:
        what = f"the image cannot be pulled: {redact(' '.join(said[-1].split()))}"
        fix = (
            "look at its name and the network, `docker login` where the registry wants it,"
            " or name another image in [tool.layerkit.docker]"
        )
        raise EngineError(what, where=reference, fix=fix)
