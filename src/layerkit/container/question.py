"""What a Dockerfile of a project comes to on a target, as digests: equal questions have equal answers.

A Dockerfile that has these ARG lines is given their values, so that one file does for all runtimes:

    LAYERKIT_BUILD_IMAGE   the image with compilers, as [tool.layerkit.docker] and the environment name it
    LAYERKIT_RUN_IMAGE     the runtime's own image
    LAYERKIT_RUNTIME       such as python3.12
    LAYERKIT_ARCH          x86_64 or arm64
    LAYERKIT_LIBRARIES     the shared libraries that the managed runtime is known to have, by name

One that makes the image with compilers itself is given the one that stood for it otherwise.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.container import dockerfile, images
from layerkit.container.context import collect
from layerkit.errors import ConfigError
from layerkit.project.text_files import decode, read_bytes, shown
from layerkit.target import present_libraries

if TYPE_CHECKING:
    from layerkit.container.context import Context
    from layerkit.container.dockerfile import Recipe
    from layerkit.project import Dockerfile, Project
    from layerkit.target import Target

# Raise it when the same Dockerfile would give other files.
_FORMAT = 1
_BUILD_IMAGE = "LAYERKIT_BUILD_IMAGE"
# What images to build in are called that Dockerfiles make.
_BUILDS = "layerkit-build"

Bases = tuple[tuple[str, str], ...]


class Question(Struct, frozen=True, kw_only=True):
    """A layer to be made: `digest` is of what its files say, `dockerfile` that file's path in the project.

    `bases` are the images it starts from that are named by no digest, each with what it is today;
    None where nobody knows.
    """

    layer: str
    dockerfile: str
    sha256: str
    digest: str
    spec: Dockerfile
    context: Context
    recipe: Recipe
    bases: Bases | None

    @property
    def key(self) -> str:
        """Return the digest of question and bases; "" where the bases are not known."""
        if self.bases is None:
            return ""
        return hashlib.sha256(json.dumps([self.digest, self.bases]).encode()).hexdigest()


def ask(
    layer: str, spec: Dockerfile, project: Project, target: Target, *, build_image: str | None = None
) -> Question:
    """Read a Dockerfile and its context; `bases` is None where an image is named by no digest.

    `build_image` is the one with compilers where the project's own is not meant, "" where nobody knows
    any. Raises ConfigError for a Dockerfile that cannot be read or lacks a stage or an argument.
    """
    name, content, given = shown(spec.path, project.root), read_bytes(spec.path), dict(spec.args)

    def give(word: str) -> str | None:
        if word == _BUILD_IMAGE and word not in given and build_image is not None:
            return build_image or None
        return given[word] if word in given else _own(word, project, target)

    recipe = dockerfile.read(decode(content, name), give, spec.target, name)
    if unknown := sorted(given.keys() - dict(recipe.arguments).keys()):
        raise ConfigError(f"the Dockerfile has no ARG {', '.join(unknown)}", where=name)
    context = collect(spec, (project.output, project.lock_folder))
    said = [_FORMAT, context.dockerfile, context.digest(), recipe.arguments, spec.target, target.arch]
    return Question(
        layer=layer,
        dockerfile=name,
        sha256=hashlib.sha256(content).hexdigest(),
        digest=hashlib.sha256(json.dumps(said).encode()).hexdigest(),
        spec=spec,
        context=context,
        recipe=recipe,
        bases=None if recipe.loose else (),
    )


def build_image(project: Project, target: Target) -> tuple[str, Question | None]:
    """Return the name of the image to build in, and what is to be made where a Dockerfile makes it.

    Raises EngineError where nobody names one, and what `ask` raises.
    """
    said = project.containers
    repository = f"{_BUILDS}/{plain(project.name)}"
    made = {f"{repository}:{key}": spec for key, spec in said.build_files}
    configured = {**dict(said.build_images), **{key: f"{repository}:{key}" for key, _ in said.build_files}}
    name = images.reference(target, "build", configured)
    if name not in made:
        return name, None
    otherwise = images.known(target, "build") or ""
    asked = ask("build-image", made[name], project, target, build_image=otherwise)
    return f"{repository}:{target.key}-{asked.digest[:16]}", asked


def made(project: Project, target: Target) -> str | None:
    """Return the name of the image to build in where a Dockerfile of the project makes it."""
    if not project.containers.build_files:
        return None
    name, asked = build_image(project, target)
    return name if asked else None


def plain(name: str) -> str:
    """Return a name in the letters that names of images may have."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"


def _own(name: str, project: Project, target: Target) -> str | None:
    """Return the value of an argument that layerkit gives by itself."""
    if name == _BUILD_IMAGE:
        return build_image(project, target)[0]
    if name == "LAYERKIT_RUN_IMAGE":
        return images.reference(target, "run", dict(project.containers.images))
    if name == "LAYERKIT_LIBRARIES":
        return " ".join(sorted(present_libraries(target)))
    return {"LAYERKIT_RUNTIME": target.runtime, "LAYERKIT_ARCH": target.arch}.get(name)
