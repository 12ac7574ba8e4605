"""An image built from a Dockerfile by the engine itself, and the files it leaves there.

The context is sent as an archive and the files come back as one, so the engine may be anywhere. The
image stays on the engine under a tag of its own, for its layers make the next build quick; the one
that had the tag before is removed, and so is the container that files are taken from.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.container.engine import full, is_full
from layerkit.container.images import platform
from layerkit.container.log import Log
from layerkit.container.room import WRONG_FORMAT, no_emulation
from layerkit.container.surroundings import passwords, proxies
from layerkit.container.tarred import pack
from layerkit.errors import BuildError
from layerkit.output import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layerkit.container.context import Context
    from layerkit.container.engine import Engine
    from layerkit.container.question import Question
    from layerkit.project import Project
    from layerkit.target import Target

_CHUNK = 1 << 20
# The end of a tar archive, which is all of one that holds nothing.
_NOTHING = b"\0" * 1024
# What the engine puts around a line that a step printed on stderr.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Order(Struct, frozen=True, kw_only=True):
    """What to build; `where` is what errors call it.

    `stage` is empty for the last one, `platform` and `network` are as engines call them, `tag` is what
    the image is called on the engine, `labels` are written on it.
    """

    context: Context
    arguments: tuple[tuple[str, str], ...]
    stage: str
    platform: str
    network: str
    tag: str
    where: str
    labels: tuple[tuple[str, str], ...] = ()


def order(
    asked: Question,
    project: Project,
    target: Target,
    tag: str,
    *,
    offline: bool,
    labels: tuple[tuple[str, str], ...] = (),
) -> Order:
    """Return what the engine has to build for a question; offline no step of it has a network."""
    return Order(
        context=asked.context,
        arguments=asked.recipe.arguments,
        stage=asked.spec.target,
        platform=platform(target.arch),
        network="none" if offline else project.containers.network,
        tag=tag,
        where=asked.dockerfile,
        labels=labels,
    )


def logged(engine: Engine, order: Order, path: Path) -> str:
    """Build an image with a new log at a path, in which no password of a proxy stands; return its id."""
    remove(path)
    with Log(path, passwords(proxies(os.environ).values())) as log:
        return build(engine, order, log)


def build(engine: Engine, order: Order, log: Log) -> str:
    """Build an image and return its id; what is printed goes to the log.

    Raises BuildError with the last lines of the log where a step fails, EngineError where the engine does,
    has no room left or cannot run the platform.
    """
    before = _id(engine, order.tag)
    built = ""
    with engine.talking(f"building {order.where}"):
        lines = engine.client.build(
            fileobj=pack(order.context.entries),  # type: ignore[arg-type]  # any iterable is sent in chunks
            custom_context=True,
            dockerfile=order.context.dockerfile,
            # Docker's reference for Dockerfiles: these need no ARG line and stay out of the history.
            buildargs={**proxies(os.environ), **dict(order.arguments)},
            target=order.stage or None,
            platform=order.platform,
            network_mode=order.network,
            tag=order.tag,
            labels=dict(order.labels),
            rm=True,
            forcerm=True,
            timeout=None,  # a step may be silent for as long as it likes
            decode=True,
        )
        fault = ""
        for line in lines:
            fault = _listen(line, log) or fault
            built = (line.get("aux") or {}).get("ID", built)
    if fault and WRONG_FORMAT in fault + log.last():
        raise no_emulation(order.platform, order.where)
    if fault and is_full(fault + log.last()):
        raise full(f"for what {order.where} makes ({log.path} is the whole log)", engine.where)
    if fault or not built:
        raise _failed(fault or "the engine told no image", order, log)
    if before and before != built:
        _forget(engine, before)
    return built


def files(engine: Engine, image: str, path: str, platform: str) -> Iterator[bytes]:
    """Give what lies at a path of an image as a tar archive; no program is run for it."""
    from docker.errors import NotFound

    client = engine.client
    with engine.talking(f"taking {path} out of the image"):
        made = client.create_container(image, command=["/"], labels=engine.labels(), platform=platform)["Id"]
        try:
            chunks, _ = client.get_archive(made, path, chunk_size=_CHUNK)
            yield from chunks
        except NotFound:
            yield _NOTHING
        finally:
            client.remove_container(made, v=True, force=True)


def _listen(line: Mapping[str, Any], log: Log) -> str:
    """Take a line of the engine's answer to the log; return what it says went wrong."""
    said = line.get("error") or line.get("stream") or line.get("status") or ""
    # The progress of a pull comes as thousands of lines that each replace the one before.
    if said and not line.get("progress"):
        log.write(f"{_COLOURS.sub('', said).rstrip()}\n".encode())
    return str(line.get("error") or "")


def _failed(fault: str, order: Order, log: Log) -> BuildError:
    return BuildError(
        f"the Dockerfile cannot be built: {' '.join(fault.split())}\n{log.last()}",
        where=order.where,
        fix=f"the whole log: {log.path}",
    )


def _id(engine: Engine, tag: str) -> str:
    """Return the id of the image that has a tag, "" where none has."""
    with engine.talking("looking for an earlier image"):
        found: list[str] = engine.client.images(name=tag, quiet=True)
    return found[0] if found else ""


def _forget(engine: Engine, image: str) -> None:
    """Remove an image that lost its tag; it stays where something else is made from it."""
    from docker.errors import APIError

    with engine.talking("removing an earlier image"), contextlib.suppress(APIError):
        engine.client.remove_image(image)
