"""A project as layerkit sees it: what goes into which layer, for which runtimes.

`load` reads a folder or a file, whatever of pyproject.toml, requirements.txt, Pipfile and their
locks is there, and gives one frozen `Project`. Nothing here resolves, downloads or builds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from msgspec import Struct, field
from msgspec.structs import replace

from layerkit.project import existing_locks, project_files
from layerkit.project.config import Config, EngineRule, SdkRule
from layerkit.project.config import read as read_config
from layerkit.project.declared_layers import check_published, lay_out
from layerkit.project.faults import Faults, has_credentials
from layerkit.project.inputs import digests, input_name
from layerkit.project.local_closure import with_local_closure
from layerkit.project.publishing import PublishTable
from layerkit.project.python_range import admits
from layerkit.project.requirement import Pin, Requirement, canonical, resolved, well_formed
from layerkit.project.specs import (
    BytecodeRule,
    CheckRules,
    Containers,
    Dockerfile,
    FunctionSpec,
    LayerSpec,
    OverLimit,
    Slimming,
    Stack,
)
from layerkit.project.text_files import shown
from layerkit.target import facts, parse_arch, parse_runtime, runtimes, supported_runtimes, target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Unpack

    from layerkit.project.declared import Declared
    from layerkit.target import Arch, Layout, Target

__all__ = [
    "BytecodeRule",
    "Containers",
    "Dockerfile",
    "EngineRule",
    "FunctionSpec",
    "LayerSpec",
    "OverLimit",
    "Overrides",
    "Pin",
    "Project",
    "Requirement",
    "SdkRule",
    "Slimming",
    "Stack",
    "load",
    "validate",
    "with_pins",
]


class Project(Struct, frozen=True, kw_only=True):
    """Everything a project's files say, read once.

    `name` and `version` stand in file names; `distribution` is the canonical name of the
    project's own package where it can be built into a wheel. `root` is the absolute folder that
    relative paths start from, `file` the file that was read first.

    `constraints` and `overrides` narrow and replace what any package may ask for.
    `index_arguments` are for uv's command line and may hold credentials. `inputs` are the files
    and folders that decide the resolution: (path relative to root with /, sha256 in hex).
    `notes` are sentences a user should see once. `output` and `lock_folder` are absolute.
    `secret` says that credentials or values of the environment are in it: write it nowhere.
    `tool` is the one whose lock comes first (see `existing_locks.find`), None for a lock itself.
    `publish` is what the project says about publishing its layers. `require_hashes` says that its files
    ask for a hash of every wheel.
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
    slim: Slimming = field(default_factory=Slimming)
    strip: bool = True
    bytecode: BytecodeRule = "beside"
    over_limit: OverLimit = field(default_factory=OverLimit)
    aws_services: tuple[str, ...] | None = None
    containers: Containers = field(default_factory=Containers)
    engine: EngineRule | None = None
    import_may_fail: frozenset[str] = frozenset()
    check: CheckRules = field(default_factory=CheckRules)
    store: str | None = None
    constraints: tuple[Requirement, ...] = ()
    overrides: tuple[Requirement, ...] = ()
    pins: tuple[Pin, ...] = ()
    pins_source: str | None = None
    index_arguments: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    output: Path
    lock_folder: Path
    secret: bool = False
    tool: str | None = None
    publish: PublishTable = field(default_factory=PublishTable)
    require_hashes: bool = False

    def layer(self, name: str) -> LayerSpec:
        """Return the layer of that name; load() has made sure that every named layer exists."""
        return next(layer for layer in self.layers if layer.name == name)

    def requirements(self) -> tuple[Requirement, ...]:
        """Return the roots of all layers, each once."""
        return tuple(dict.fromkeys(item for layer in self.layers for item in layer.requirements))

    def targets(self) -> tuple[Target, ...]:
        """Return a target for each runtime on each architecture that it exists on."""
        known = facts()["runtimes"]
        return tuple(
            target(runtime, architecture, self.sdk_version)
            for runtime in self.runtimes
            for architecture in self.architectures
            if architecture in known[runtime]["architectures"]
        )

    def content(self, path: Path) -> str:
        """Return the digest, from `inputs`, of a local wheel or folder that a requirement names."""
        return dict(self.inputs)[input_name(path, self.root)]


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

    Raises ConfigError with every fault found, each with its place; UsageError for an override
    that names no runtime or architecture.
    """
    faults = Faults()
    source = project_files.find(resolved(path), faults)
    shown_as = shown(source.declared.file, source.root)
    config = read_config(source.tables, "pyproject.toml", source.root, faults)
    found = lay_out(config, source.declared, source.root, shown_as, faults)
    layers = tuple(_with_siblings(layer, source.root, faults) for layer in found.layers.values())
    name, version, notes = _identity(source.declared, source.root, overrides, faults)
    runtimes, runtime_notes = _runtimes(config, source.declared, shown_as, overrides, faults)
    check_published(name, version, runtimes, found, shown_as, faults)
    faults.check()
    project = Project(
        name=name,
        version=version,
        root=source.root,
        file=source.declared.file,
        layers=layers,
        functions=tuple(found.functions),
        stacks=tuple(found.stacks),
        runtimes=runtimes,
        notes=(*notes, *runtime_notes, *source.declared.notes, *found.notes),
        output=resolved(overrides.get("output") or source.root / (config.output or "dist/layers")),
        lock_folder=resolved(source.root / (config.lock or ".layerkit")),
    )
    project = _with_inputs(_configured(_declared(project, source.declared), config, overrides), source)
    return with_pins(project) if overrides.get("pins", True) else project


def _declared(project: Project, declared: Declared) -> Project:
    """Return the project with what its own files say beside its layers."""
    texts = [*declared.index_arguments, *(item.text for item in project.requirements())]
    return replace(
        project,
        distribution=canonical(declared.name) if declared.buildable and declared.name else None,
        requires_python=declared.requires_python,
        constraints=declared.constraints,
        overrides=declared.overrides,
        index_arguments=declared.index_arguments,
        require_hashes=declared.require_hashes,
        secret=declared.secret or any(map(has_credentials, texts)),
    )


def _configured(project: Project, config: Config, overrides: Overrides) -> Project:
    """Return the project with what [tool.layerkit] and the caller settle."""
    architectures = overrides.get("architectures") or config.architectures or ("x86_64",)
    return replace(
        project,
        architectures=tuple(dict.fromkeys(map(parse_arch, architectures))),
        sdk=overrides.get("sdk") or config.sdk or "auto",
        sdk_version=config.sdk_version,
        layout=overrides.get("layout") or config.layout or "versioned",
        self_contained=config.self_contained,
        never=config.never,
        collisions=config.collisions,
        slim=config.slim,
        strip=config.strip,
        bytecode=config.bytecode,
        over_limit=config.over_limit,
        aws_services=config.aws_services,
        containers=config.containers,
        engine=config.engine,
        publish=config.publish,
        import_may_fail=config.import_may_fail,
        check=config.check,
        store=config.store,
    )


def _with_inputs(project: Project, source: project_files.Source) -> Project:
    """Return the project with the lock whose pins count, and the digests of all that decides."""
    # A lock that was given as the project itself has its own pins.
    given = ((source.declared.file,), ())
    locks, notes = existing_locks.find(project.root, tool=source.tool) if source.tool else given
    requirements = project.requirements()
    paths = [*source.declared.inputs, *locks, *(item.path for item in requirements if item.path)]
    written = (project.output, project.lock_folder)
    inputs = digests(paths, project.root, written, requirements if source.declared.secret else ())
    return replace(
        project,
        tool=source.tool,
        pins_source=shown(locks[0], project.root) if locks else None,
        inputs=inputs,
        notes=(*project.notes, *notes),
    )


def with_pins(project: Project) -> Project:
    """Return the project with the pins of the lock that `pins_source` names."""
    if project.pins_source is None:
        return project
    path = resolved(project.root / project.pins_source)
    pins = existing_locks.read(path, project.root, project.requirements())
    return replace(project, pins=pins)


def validate(project: Project) -> None:
    """Prove that every requirement is well-formed; ConfigError with all that are not.

    This imports `packaging`, which `load` does not. A lock that is current proves the same of the
    requirements it was made from, so only resolving needs to call this.
    """
    faults = Faults()
    for requirement in dict.fromkeys((*project.requirements(), *project.constraints, *project.overrides)):
        if error := well_formed(requirement):
            faults.take(error)
    faults.check()


def _with_siblings(layer: LayerSpec, root: Path, faults: Faults) -> LayerSpec:
    """Return the layer with the local folders that its local folders ask for."""
    if all(item.path in {None, root} for item in layer.requirements):
        return layer
    return replace(layer, requirements=with_local_closure(layer.requirements, root, faults))


def _identity(
    declared: Declared, root: Path, overrides: Overrides, faults: Faults
) -> tuple[str, str, tuple[str, ...]]:
    """Return the name and version for file names, and what has to be said of them."""
    folder = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-") or "project"
    name = overrides.get("name") or declared.name or folder
    if re.fullmatch(r"[A-Za-z0-9._-]+", name) is None:
        faults.add("the project's name", f"{name!r} cannot stand in a file's name")
    if version := overrides.get("version") or declared.version:
        return name, version, ()
    notes = ("the version is not written in the project's files: 0 is used",) if declared.buildable else ()
    return name, "0", notes


def _runtimes(
    config: Config, declared: Declared, shown_as: str, overrides: Overrides, faults: Faults
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the runtimes asked for, else the newest that the project's range of Pythons admits."""
    asked = overrides.get("runtimes") or config.runtimes
    required = declared.requires_python
    try:
        admitted = [name for name in runtimes() if required is None or admits(required, target(name).python)]
    except ValueError:
        faults.add(shown_as, f"requires-python {required!r} is not a range of versions")
        return (), ()
    if asked is not None:
        names = tuple(dict.fromkeys(map(parse_runtime, asked)))
        outside = ", ".join(name for name in names if name not in admitted)
        return names, (f"requires-python {required} does not admit {outside}",) if outside else ()
    supported = [name for name in supported_runtimes() if name in admitted]
    if not supported and not admitted:
        what = f"requires-python {required!r} admits no Lambda runtime"
        faults.add(shown_as, what, fix=f"known: {', '.join(runtimes())}")
        return (), ()
    newest = (supported or admitted)[-1]
    why = "the newest runtime" + (f" that requires-python {required} admits" if required else "")
    return (newest,), (f"no runtimes are configured: {newest} is taken, {why}",)
