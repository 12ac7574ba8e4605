"""A project as layerkit sees it: what goes into which layer, for which runtimes.

`load` reads a folder or a file, whatever of pyproject.toml, requirements.txt, Pipfile and their
locks is there, and gives one frozen `Project`. Nothing here resolves, downloads or builds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

from layerkit.requirement import Pin, Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Unpack

    from layerkit.target import Arch, Layout

__all__ = [
    "FunctionSpec",
    "LayerSpec",
    "Overrides",
    "Pin",
    "Project",
    "Requirement",
    "SdkRule",
    "Stack",
    "load",
]

SdkRule = Literal["auto", "runtime", "bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """A layer as declared: its roots, and whether the project's own wheel lies in it.

    `wheel-only` is the project's own wheel without what that wheel requires.
    """

    name: str
    requirements: tuple[Requirement, ...] = ()
    project: Literal["none", "wheel-only"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """A function: its layers in the order Lambda lays them down, and its own code.

    `code` is an absolute path of a folder or a file; the patterns are relative to that folder.
    """

    name: str
    layers: tuple[str, ...] = ()
    code: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Layers that meet in one function, the lowest first."""

    name: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Everything a project's files say, read once.

    `name` and `version` stand in file names; `distribution` is the canonical name of the
    project's own package where it can be built into a wheel. `root` is the absolute folder that
    relative paths start from, `file` the file that was read first.

    `constraints` and `overrides` narrow and replace what any package may ask for.
    `index_arguments` are for uv's command line and may hold credentials. `inputs` are the files
    and folders that decide the resolution: (path relative to root with /, sha256 in hex).
    `notes` are sentences a user should see once. `output` and `lock_folder` are absolute.
    """

    name: str
    version: str
    root: Path
    file: Path
    distribution: str | None = None
    requires_python: str | None = None
    layers: tuple[LayerSpec, ...] = ()
    functions: tuple[FunctionSpec, ...] = ()
    stacks: tuple[Stack, ...] = ()
    runtimes: tuple[str, ...] = ()
    architectures: tuple[Arch, ...] = ("x86_64",)
    sdk: SdkRule = "auto"
    sdk_version: str | None = None
    layout: Layout = "versioned"
    self_contained: bool = False
    never: frozenset[str] = frozenset()
    collisions: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[Requirement, ...] = ()
    overrides: tuple[Requirement, ...] = ()
    pins: tuple[Pin, ...] = ()
    pins_source: str | None = None
    index_arguments: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    output: Path
    lock_folder: Path

    def layer(self, name: str) -> LayerSpec:
        """Return the layer of that name; load() has made sure that every named layer exists."""
        return next(layer for layer in self.layers if layer.name == name)


class Overrides(TypedDict, total=False):
    """What a caller may put above what the project's files say; None and absent mean the same.

    A relative `output` starts from the caller's own folder. `pins=False` leaves the existing
    locks unread (their digests are in `inputs` all the same): a build whose lock is current
    needs none.
    """

    runtimes: Sequence[str] | None
    architectures: Sequence[str] | None
    sdk: SdkRule | None
    layout: Layout | None
    output: Path | None
    name: str | None
    version: str | None
    pins: bool


def load(path: Path, **overrides: Unpack[Overrides]) -> Project:
    """Read the project at `path`: a folder, a requirements file, a pyproject.toml or a pylock.toml.

    Raises ConfigError with every fault found, each with its place.
    """
    raise NotImplementedError
