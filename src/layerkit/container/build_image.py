"""The image that the packages of a target are built in: a named one, or one made from a Dockerfile.

The engine makes it once. Its name holds the digest of what the Dockerfile and its files say, a label the
digest of that and of the images it starts from: as long as both hold, it is taken as it is. The label
stands for it in locks and keys, not the id that this engine gave it, so another engine is not another
image. Those that it replaces are removed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.container import image_build, images, question
from layerkit.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerkit.container.engine import Engine
    from layerkit.container.images import Image
    from layerkit.container.question import Question
    from layerkit.project import Project
    from layerkit.target import Target


def ready(
    engine: Engine, project: Project, target: Target, talk: Callable[[str], None], *, offline: bool
) -> Image:
    """Return the image to build in, on the engine: pulled or made if it was not there.

    Raises EngineError where it cannot be had, BuildError where a step of its Dockerfile fails.
    """
    name, asked = question.build_image(project, target)
    if asked is None:
        return images.ready(engine, name, target.arch, talk, offline=offline)
    there = images.there(engine, name, target.arch)
    bases = {base: images.there(engine, base, target.arch) for base in asked.recipe.loose}
    known = tuple((base, image.digest) for base, image in bases.items() if image)
    if there is not None and (len(known) < len(bases) or there.digest == _digest(asked, known)):
        return replace(there, reference=asked.dockerfile)
    return replace(
        _made(engine, name, asked, project, target, talk, offline=offline), reference=asked.dockerfile
    )


def _made(
    engine: Engine,
    name: str,
    asked: Question,
    project: Project,
    target: Target,
    talk: Callable[[str], None],
    *,
    offline: bool,
) -> Image:
    """Have the engine make the image now, and forget those that it replaces."""
    talk(f"{target.key}: making an image of {asked.dockerfile}")
    bases = {
        base: images.ready(engine, base, target.arch, talk, offline=offline) for base in asked.recipe.images
    }
    known = tuple((base, bases[base].digest) for base in asked.recipe.loose)
    labels = ((images.MADE, _digest(asked, known)),)
    order = image_build.order(asked, project, target, name, offline=offline, labels=labels)
    path = project.lock_folder / "logs" / f"{target.key}-build-image.log"
    image_build.logged(engine, order, path)
    _forget_others(engine, name, target)
    made = images.there(engine, name, target.arch)
    if made is None:
        raise EngineError(
            f"the Dockerfile made an image for another platform than {order.platform}", where=asked.dockerfile
        )
    return made


def _digest(asked: Question, bases: question.Bases) -> str:
    """Return what stands for the image: the digest of its Dockerfile's question and its answer."""
    return f"sha256:{replace(asked, bases=bases).key}"


def _forget_others(engine: Engine, name: str, target: Target) -> None:
    """Remove the images that the same Dockerfile made for the same target when it said something else."""
    from docker.errors import APIError

    repository = name.rpartition(":")[0]
    with engine.talking("looking for earlier images"):
        found = engine.client.images(name=repository)
    for tag in {tag for image in found for tag in image["RepoTags"] or ()}:
        if tag.startswith(f"{repository}:{target.key}-") and tag != name:
            with engine.talking("removing an earlier image"), contextlib.suppress(APIError):
                engine.client.remove_image(tag)
