"""Layers, functions and stacks as a project declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.project.requirement import Requirement

__all__ = [
    "BytecodeRule",
    "CheckRules",
    "Containers",
    "Dockerfile",
    "FailOn",
    "FunctionSpec",
    "LayerSpec",
    "OverLimit",
    "OverLimitMode",
    "Slimming",
    "Stack",
]

# Bytecode lies beside the sources, in their place, or nowhere.
BytecodeRule = Literal["beside", "only", "none"]
# The least severity that makes a check fail.
FailOn = Literal["error", "warning", "never"]
OverLimitMode = Literal["error", "bundle", "nested-zip"]


class CheckRules(Struct, frozen=True, kw_only=True):
    """What a check makes of its findings: codes to pass over, and how grave one has to be to fail."""

    ignore: frozenset[str] = frozenset()
    fail_on: FailOn = "error"


class Dockerfile(Struct, frozen=True, kw_only=True):
    """A Dockerfile whose /opt becomes part of a layer, or that makes an image; paths are absolute.

    `target` is the stage that counts, empty for the last one; `args` are values for its ARG lines.
    """

    path: Path
    context: Path
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()


class LayerSpec(Struct, frozen=True, kw_only=True):
    """A layer as declared: its roots, and whether the project's own wheel lies in it alone.

    `wheel-only` is the project's own wheel without what that wheel requires; it stands among the
    requirements too, as a local folder, so that it is built and locked like any other. What the
    `dockerfile` leaves in /opt lies in the layer beside its packages.

    One that is `divided` is no layer: what its roots bring goes into layers that the planner makes.
    """

    name: str
    requirements: tuple[Requirement, ...] = ()
    project: Literal["none", "wheel-only"] = "none"
    divided: bool = False
    dockerfile: Dockerfile | None = None


class FunctionSpec(Struct, frozen=True, kw_only=True):
    """A function: its layers in the order Lambda lays them down, and its own code.

    `code` is an absolute path of a folder or a file; the patterns are relative to that folder.
    """

    name: str
    layers: tuple[str, ...] = ()
    code: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Stack(Struct, frozen=True, kw_only=True):
    """Layers that meet in one function, the lowest first."""

    name: str
    layers: tuple[str, ...]


class Slimming(Struct, frozen=True, kw_only=True):
    """What a project says about leaving things out of wheels, beside the table that layerkit ships.

    `switched` turns rows of the table on and off by name; `rows` are its own, (name, patterns); `keep`
    is what stays, (canonical name of a package, patterns). Patterns are as in .gitignore.
    """

    enabled: bool = True
    switched: tuple[tuple[str, bool], ...] = ()
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    keep: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Containers(Struct, frozen=True, kw_only=True):
    """What is built from source, and in which containers.

    `build` are canonical names of packages whose wheels are not taken from the index, `system` the
    system packages that their builds need. The images, for running and for building, are named by
    `python3.12` or `python3.12-arm64`; those in `build_files` are made from Dockerfiles. `network` is the
    engine's network mode.
    """

    build: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    build_images: tuple[tuple[str, str], ...] = ()
    build_files: tuple[tuple[str, Dockerfile], ...] = ()
    network: str = "bridge"


class OverLimit(Struct, frozen=True, kw_only=True):
    """What becomes of a stack that is larger than Lambda takes.

    `lazy` unpacks a package of the bundle when it is first imported; `remote` is the address, such as
    s3://bucket/prefix, of frames that no layer can hold.
    """

    mode: OverLimitMode = "error"
    lazy: bool = False
    remote: str | None = None
