"""What goes into which layer, and why: pure functions over values, nothing read and nothing written.

Three steps: `closure` says what each layer's roots bring and what stays out, `partition` gives every
package the one layer of a stack that holds it, and here the stacks are weighed against Lambda's limits.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, to_builtins

from layerkit.errors import LayerkitError, LimitExceededError
from layerkit.plan.closure import closure, rules
from layerkit.plan.partition import partition
from layerkit.plan.proof import doubts
from layerkit.plan.ways import bundled, smaller
from layerkit.target import SDK_CORE, limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.lock import Lock
    from layerkit.plan.closure import Closure, Rules
    from layerkit.plan.partition import Stacks
    from layerkit.project import Project
    from layerkit.target import Target

_CONTRIBUTORS = 10
_NOTHING: Mapping[str, frozenset[str]] = MappingProxyType({})
_NO_FILES: Mapping[str, FromDockerfile] = MappingProxyType({})


class Weighed(Protocol):
    """What planning asks of all that lies in layers: its bytes as zip members, and unzipped."""

    @property
    def zipped(self) -> int:
        """Return the bytes of the finished zip members."""

    @property
    def unzipped(self) -> int:
        """Return the sum of the members' sizes, which is what Lambda counts."""


class Prepared(Weighed, Protocol):
    """What planning asks of a prepared wheel beyond that."""

    @property
    def compiled(self) -> int:
        """Return how many of the unzipped bytes are bytecode."""


class FromDockerfile(Weighed, Protocol):
    """What planning asks of what a Dockerfile left in /opt."""

    @property
    def dockerfile(self) -> str:
        """Return the path of the Dockerfile in the project."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a user should know of the files."""


class LeftOut(Struct, frozen=True, kw_only=True):
    """A package that the roots bring and no layer holds, and why."""

    name: str
    version: str
    reason: str


class PlannedLayer(Struct, frozen=True, kw_only=True):
    """A layer: the roots it was declared with, the packages it holds, its size in bytes.

    What the `dockerfile`, a path in the project, left in /opt lies in it too and counts in its size.
    `beneath` are the layers that hold what its packages need and it does not; in a given stack
    it relies on those of them that are there. `zipped` is without the zip's central directory.
    """

    name: str
    roots: tuple[str, ...]
    packages: tuple[str, ...]
    dockerfile: str | None = None
    beneath: tuple[str, ...]
    zipped: int
    unzipped: int

    @property
    def empty(self) -> bool:
        """Say whether nothing at all lies in it: then it is no layer on Lambda."""
        return not self.packages and self.dockerfile is None


class PlannedStack(Struct, frozen=True, kw_only=True):
    """What meets in one function: the layers that hold anything, in order, and bytes unzipped.

    `unzipped` includes `code_bytes`; `slack` is how many bytes more Lambda would take.
    """

    name: str
    layers: tuple[str, ...]
    code_bytes: int
    unzipped: int
    slack: int


class Plan(Struct, frozen=True, kw_only=True):
    """The layers and stacks of one target, what stays out, and why each package is there.

    `why` maps every package that the roots bring, held or left out, to the shortest chain of
    names from a root to it.
    """

    target_key: str
    layers: tuple[PlannedLayer, ...]
    stacks: tuple[PlannedStack, ...]
    left_out: tuple[LeftOut, ...]
    why: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def layer(self, name: str) -> PlannedLayer:
        """Return the layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON has it: lists for tuples, names as declared."""
        plain = to_builtins(self)
        return {"target": plain.pop("target_key"), **plain}


def plan(
    project: Project,
    lock: Lock,
    prepared: Mapping[str, Prepared],
    code: Mapping[str, int],
    before: Mapping[str, frozenset[str]] = _NOTHING,
    opts: Mapping[str, FromDockerfile] = _NO_FILES,
) -> Plan:
    """Return which layer holds what, and prove Lambda's limits for every stack.

    `prepared` has the sizes of every package of the lock that a layer may hold, `code` the bytes
    unzipped of each function's own code, `before` the packages of each layer in the last plan, which
    counts where the planner makes the layers, `opts` what Dockerfiles bring into layers, by layer.
    Raises ResolutionError when the lock lacks a root, ConfigError when the stacks cannot agree,
    LimitExceededError naming every stack that is broken.
    """
    walking = rules(project, lock)
    closures = {layer.name: closure(layer, project, lock, walking) for layer in project.layers}
    stacks: Mapping[str, tuple[str, ...]] = _stacks(project)
    notes: tuple[str, ...] = ()
    if any(layer.divided for layer in project.layers):
        from layerkit.plan.divided import divided

        room = {name: most_unzipped() - code.get(name, 0) for name in stacks}
        held, stacks, how = divided(project, stacks, closures, walking, prepared, room, before, opts)
        notes = (how,)
    else:
        held = partition(stacks, closures, walking, project)
    layers = tuple(
        _layer(name, closures, held, stacks, walking, prepared, opt=opts.get(name)) for name in held
    )
    planned = tuple(_stack(name, names, layers, code.get(name, 0)) for name, names in stacks.items())
    _prove_limits(planned, layers, prepared, opts, lock, project)
    made = Plan(
        target_key=lock.target.key,
        layers=layers,
        stacks=planned,
        left_out=_left_out(closures, walking, lock.target),
        why=_why(closures),
        notes=(*notes, *_notes(project, layers, closures, walking, lock), *_notes_of_files(opts)),
    )
    if faults := doubts(made, _needs(project, closures), code):
        raise LayerkitError("the plan contradicts itself: " + "; ".join(faults), where=lock.target.key)
    return made


def _stacks(project: Project) -> Stacks:
    """Return the stacks by name. A layer that lies in none is a stack of its own: it must be whole."""
    stacks = {stack.name: tuple(dict.fromkeys(stack.layers)) for stack in project.stacks}
    placed = {name for names in stacks.values() for name in names}
    for layer in project.layers:
        if layer.name not in placed:
            stacks[f"{layer.name} alone" if layer.name in stacks else layer.name] = (layer.name,)
    return stacks


def stack_packages(project: Project, lock: Lock) -> dict[str, frozenset[str]]:
    """Return the packages that each stack holds, whichever of its layers they lie in."""
    walking = rules(project, lock)
    return _needs(project, {layer.name: closure(layer, project, lock, walking) for layer in project.layers})


def _needs(project: Project, closures: Mapping[str, Closure]) -> dict[str, frozenset[str]]:
    return {
        name: frozenset().union(*(closures[each].needed for each in names))
        for name, names in _stacks(project).items()
    }


def _layer(
    name: str,
    closures: Mapping[str, Closure],
    held: Mapping[str, set[str]],
    stacks: Stacks,
    rules: Rules,
    prepared: Mapping[str, Prepared],
    *,
    opt: FromDockerfile | None,
) -> PlannedLayer:
    packages = tuple(sorted(held[name]))
    parts = [*(prepared[package] for package in packages), *([opt] if opt else [])]
    if name in closures:
        roots, wanted = closures[name].named, closures[name].wanted
    else:  # a layer that the planner made
        named = {root for each in closures.values() for root in each.named}
        roots, wanted = tuple(one for one in packages if one in named), rules.needed_by(packages)
    missing = wanted - held[name]
    companions = {other for names in stacks.values() if name in names for other in names} - {name}
    return PlannedLayer(
        name=name,
        roots=roots,
        packages=packages,
        dockerfile=opt.dockerfile if opt else None,
        beneath=tuple(other for other in held if other in companions and held[other] & missing),
        zipped=sum(part.zipped for part in parts),
        unzipped=sum(part.unzipped for part in parts),
    )


def _stack(
    name: str, names: tuple[str, ...], layers: Sequence[PlannedLayer], code_bytes: int
) -> PlannedStack:
    sizes = {layer.name: layer.unzipped for layer in layers if not layer.empty}
    unzipped = code_bytes + sum(sizes.get(each, 0) for each in names)
    return PlannedStack(
        name=name,
        layers=tuple(each for each in names if each in sizes),
        code_bytes=code_bytes,
        unzipped=unzipped,
        slack=most_unzipped() - unzipped,
    )


def most_unzipped() -> int:
    """Return the most bytes that code and layers may have together: less than the limit, AWS says."""
    return limit("unzipped_bytes") - 1


def _prove_limits(
    stacks: Sequence[PlannedStack],
    layers: Sequence[PlannedLayer],
    prepared: Mapping[str, Prepared],
    opts: Mapping[str, FromDockerfile],
    lock: Lock,
    project: Project,
) -> None:
    """Raise one LimitExceededError for all stacks that Lambda would refuse."""
    most = limit("layers_per_function")
    faults = [_too_large(stack, layers, prepared, opts) for stack in stacks if stack.slack < 0]
    faults += [
        f"{stack.name} has {len(stack.layers)} layers ({', '.join(stack.layers)}), Lambda takes {most}"
        for stack in stacks
        if len(stack.layers) > most
    ]
    if not faults:
        return
    ways: list[str] = []
    if any(stack.slack < 0 for stack in stacks):
        compiled = max(_compiled(stack, layers, prepared) for stack in stacks if stack.slack < 0)
        ways += smaller(project, compiled)
        ways.append("give the function fewer requirements, or split it")
        ways.append("name packages it can do without in tool.layerkit.never-deploy")
        if lock.sdk.mode == "bundle":
            ways.append(f"make the runtime's SDK do, which is bundled because: {lock.sdk.reason}")
        ways.append(bundled())
        ways.append("deploy it as a container image")
    if any(len(stack.layers) > most for stack in stacks):
        ways.append("merge layers that are always used together")
    raise LimitExceededError("\n".join(faults), where=lock.target.key, fix="ways out: " + "; ".join(ways))


def _too_large(
    stack: PlannedStack,
    layers: Sequence[PlannedLayer],
    prepared: Mapping[str, Prepared],
    opts: Mapping[str, FromDockerfile],
) -> str:
    """Say by how much a stack is too large, and which packages make it so."""
    sizes = {
        package: prepared[package].unzipped
        for layer in layers
        if layer.name in stack.layers
        for package in layer.packages
    }
    sizes["(the function's own code)"] = stack.code_bytes
    sizes |= {
        f"(/opt of {opts[name].dockerfile})": opts[name].unzipped for name in stack.layers if name in opts
    }
    top = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_CONTRIBUTORS]
    width = max(len(name) for name, _ in top)
    lines = [f"    {name:<{width}}  {size:>13,}  {size / stack.unzipped:>5.1%}" for name, size in top if size]
    total = f"{stack.name}: {stack.unzipped:,} bytes unzipped over code and layers"
    compiled = _compiled(stack, layers, prepared)
    alone = f", and without bytecode ({compiled:,} bytes) it would fit" if compiled >= -stack.slack else ""
    return "\n".join([f"{total}, {-stack.slack:,} more than Lambda takes{alone}", *lines])


def _compiled(stack: PlannedStack, layers: Sequence[PlannedLayer], prepared: Mapping[str, Prepared]) -> int:
    """Return how many bytes of a stack are bytecode, which its functions could do without."""
    held = (package for layer in layers if layer.name in stack.layers for package in layer.packages)
    return sum(prepared[package].compiled for package in held)


def _left_out(closures: Mapping[str, Closure], rules: Rules, target: Target) -> tuple[LeftOut, ...]:
    """Return what the roots bring and no layer holds, by name, each with the reason for it."""
    kept = {name for each in closures.values() for name in each.needed}
    reasons: dict[str, str] = {}
    # What the runtime brings is the better reason where another layer has it from a `never`.
    for role in ("runtime", "never"):
        for each in closures.values():
            for name, (found, chain) in sorted(each.left.items()):
                if found == role and name not in kept:
                    reasons.setdefault(name, _reason(name, chain, rules, target, role=found))
    return tuple(
        LeftOut(name=name, version=rules.versions[name], reason=reasons[name]) for name in sorted(reasons)
    )


def _reason(name: str, chain: Sequence[str], rules: Rules, target: Target, *, role: str) -> str:
    if role == "runtime":
        brought = f"boto3 {target.sdk.boto3}" if target.sdk else "its SDK"
        return f"{target.runtime} brings it with {brought}"
    if name in rules.never:
        return "the project never deploys it"
    cause = next(each for each in reversed(chain) if each in rules.never)
    return f"only {cause} needs it, which the project never deploys"


def _why(closures: Mapping[str, Closure]) -> dict[str, tuple[str, ...]]:
    """Return the shortest chain to each package, over all layers; the same length goes by layer order.

    What a layer holds is there for those that need it, and not for an SDK that is left out.
    """
    chains: dict[str, tuple[str, ...]] = {}
    needed = [item for each in closures.values() for item in each.needed.items()]
    held = {name for name, _ in needed}
    left = [(name, chain) for each in closures.values() for name, (_, chain) in each.left.items()]
    for name, chain in [*needed, *(item for item in left if item[0] not in held)]:
        if name not in chains or len(chain) < len(chains[name]):
            chains[name] = chain
    return dict(sorted(chains.items()))


def _notes(
    project: Project,
    layers: Sequence[PlannedLayer],
    closures: Mapping[str, Closure],
    rules: Rules,
    lock: Lock,
) -> Iterator[str]:
    """Yield what is right and still worth knowing."""
    direct = limit("direct_upload_bytes")
    for layer in layers:
        if layer.empty:
            yield f"layer {layer.name} holds nothing: other layers or the runtime have what it names"
        elif layer.zipped > direct:
            yield f"layer {layer.name} goes through S3: {layer.zipped:,} bytes zipped are above {direct:,}"
    if rules.mode == "bundle" and any(SDK_CORE & each.needed.keys() for each in closures.values()):
        yield f"the SDK is in the layers, all of it: {lock.sdk.reason}"
    elif project.aws_services:
        yield "aws-services cuts nothing: no layer holds the SDK"
    for name in sorted({name for name, _ in project.slim.keep} - rules.versions.keys()):
        yield f"slim.keep.{name} keeps nothing: the lock has no such package"


def _notes_of_files(opts: Mapping[str, FromDockerfile]) -> Iterator[str]:
    """Yield what is worth knowing of what Dockerfiles left."""
    for name, opt in opts.items():
        for note in opt.notes:
            yield f"layer {name}: {opt.dockerfile}: {note}"
