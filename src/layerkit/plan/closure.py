"""What a layer's roots bring, over a lock: which packages, in which role, and by which chain.

A package is met in one of three roles. `needed` packages go into a layer. `runtime` packages are
the parts of the AWS SDK that the runtime brings: boto3, botocore and s3transfer always (when the
lock says "runtime"), the other names of the set where they are reached through those alone.
`never` packages are the ones the project never deploys, and what is reached through them. One
package can be met in several roles; being needed wins, which is how urllib3 stays for requests
although botocore, which is left out, asks for it too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from layerkit.errors import ConfigError, ResolutionError
from layerkit.target import SDK_AS_ROOT, SDK_CORE, sdk_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerkit.lock import Lock
    from layerkit.metadata import Dependency
    from layerkit.project import LayerSpec, Project, Requirement
    from layerkit.target import Target

Role = Literal["needed", "runtime", "never"]
Chain = tuple[str, ...]
# A package together with one of its extras; "" stands for what the package always needs.
Node = tuple[str, str]


class Closure(Struct, frozen=True, kw_only=True):
    """What one layer's roots bring, each package with its shortest chain of names from a root.

    `named` are the roots that are needed, in declared order. `needed` goes into a layer (this one
    or one beneath), `left` does not, with the role that says why. `wanted` is `needed` and what
    the project's own wheel requires, which a layer that holds the wheel alone leaves to others.
    """

    named: tuple[str, ...]
    needed: Mapping[str, Chain]
    left: Mapping[str, tuple[Role, Chain]]
    wanted: frozenset[str]


class Rules(Struct, frozen=True, kw_only=True):
    """A lock prepared for walking: its versions, what brings what, and who stays out of the layers."""

    versions: Mapping[str, str]
    brings: Mapping[Node, tuple[Node, ...]]
    sdk: frozenset[str]
    mode: str
    never: frozenset[str]
    triggers: frozenset[str] = SDK_CORE

    def role(self, name: str, parent: Role | None) -> Role:
        """Return the role in which `name` is met when a package in role `parent` asks for it.

        None stands for the project itself, which names its roots.
        """
        if parent == "never":
            return "never"
        if self.mode == "runtime":
            through_sdk = parent == "runtime" and name in self.sdk
            if through_sdk or name in (SDK_AS_ROOT if parent is None else SDK_CORE):
                return "runtime"
        return "never" if name in self.never else "needed"

    def needed_by(self, packages: Iterable[str]) -> frozenset[str]:
        """Return what packages require, with any of their extras, and packages themselves."""
        own = set(packages)
        more = {name for (parent, _), nodes in self.brings.items() if parent in own for name, _ in nodes}
        return frozenset(own | more)


def rules(project: Project, lock: Lock) -> Rules:
    """Return the rules for walking `lock`; refuses a `never` that would split a bundled SDK."""
    versions = {package.name: package.version for package in lock.packages}
    brings: dict[Node, tuple[Node, ...]] = {}
    for package in lock.packages:
        for need in sorted(package.requires, key=lambda each: each.name):
            # What the lock does not hold is for the check to report: it knows what the runtime brings.
            if need.name in versions:
                node = (package.name, need.extra)
                brings[node] = brings.get(node, ()) + _nodes(need)
    made = Rules(
        versions=versions, brings=brings, sdk=sdk_set(), mode=lock.sdk.mode, never=frozenset(project.never)
    )
    _refuse_half_an_sdk(made, project, lock.sdk.reason)
    return replace(made, triggers=_triggers(made, project, lock.target))


def _triggers(rules: Rules, project: Project, target: Target) -> frozenset[str]:
    """Return the packages whose presence in a layer brings the whole of a bundled SDK.

    The SDK proper, where anything asks for it. Where nothing does, the SDK is bundled because the
    runtime's own cannot work with our urllib3 or python-dateutil: then these bring one that can.
    """
    roots = {
        node
        for layer in project.layers
        for root in layer.requirements
        if _applies(root, target)
        for node in _nodes(root)
    }
    reached = {name for _, name in _walk(rules, roots, frozenset())}
    return SDK_CORE if reached & SDK_CORE else rules.sdk


def closure(layer: LayerSpec, project: Project, lock: Lock, rules: Rules) -> Closure:
    """Return what the roots of `layer` bring: an extra brings its own dependencies and the base's.

    Raises ResolutionError when the lock does not hold one of the roots.
    """
    roots = [root for root in layer.requirements if _applies(root, lock.target)]
    names = tuple(dict.fromkeys([*(root.name for root in roots), *_own_wheel(layer, project, roots, rules)]))
    if unlocked := sorted(name for name in names if name not in rules.versions):
        raise ResolutionError(
            f"the lock does not hold {', '.join(unlocked)}, which layer {layer.name!r} asks for",
            where=str(lock.path),
            fix="run `layerkit lock`",
        )
    nodes = {(name, "") for name in names}.union(*map(_nodes, roots))
    alone = _alone(layer, project, roots)
    found = _walk(rules, nodes, alone)
    needed = {name: chain for (role, name), chain in found.items() if role == "needed"}
    if rules.mode == "bundle":
        _complete_sdk(rules, needed, found)
    left = {
        name: (role, chain)
        for (role, name), chain in found.items()
        if role != "needed" and name not in needed
    }
    wanted = {name for role, name in _walk(rules, nodes, frozenset()) if role == "needed"} if alone else set()
    return Closure(
        named=tuple(name for name in names if rules.role(name, None) == "needed"),
        needed=needed,
        left=left,
        wanted=frozenset(needed) | wanted,
    )


def held(project: Project, lock: Lock) -> frozenset[str]:
    """Return the packages that go into any layer: the ones to fetch and prepare before planning."""
    walking = rules(project, lock)
    return frozenset().union(*(closure(layer, project, lock, walking).needed for layer in project.layers))


def _walk(rules: Rules, roots: Iterable[Node], alone: frozenset[str]) -> dict[tuple[Role, str], Chain]:
    """Return every (role, package) that is reached, with the shortest chain; ties go by name.

    `alone` are packages whose own requirements are not followed. The queue is in order of the
    chains' lengths: an extra of the package at hand adds no name and is therefore taken at once.
    """
    chains: dict[tuple[Role, str], Chain] = {}
    seen: set[tuple[Role, Node]] = set()
    queue: deque[tuple[Role, Node, Chain]] = deque(
        (rules.role(name, None), (name, extra), (name,)) for name, extra in sorted(roots)
    )
    while queue:
        role, node, chain = queue.popleft()
        if (role, node) in seen:
            continue
        seen.add((role, node))
        chains.setdefault((role, node[0]), chain)
        for child in rules.brings.get(node, ()) if node[0] not in alone else ():
            if child[0] == node[0]:
                queue.appendleft((role, child, chain))
            else:
                queue.append((rules.role(child[0], role), child, (*chain, child[0])))
    return chains


def _complete_sdk(rules: Rules, needed: dict[str, Chain], found: dict[tuple[Role, str], Chain]) -> None:
    """Add the whole SDK set of the lock where a package is needed that brings it.

    A layer with botocore alone would be met by the runtime's boto3 of another version, so boto3
    comes along even if nothing asks for it. Its chain runs through the part that was asked for.
    """
    first = min(
        (needed[name] for name in sorted(rules.triggers) if name in needed),
        key=lambda c: (len(c), c),
        default=None,
    )
    if first is None:
        return
    roots = [(name, "") for name in rules.sdk if name in rules.versions]
    for (role, name), chain in _walk(rules, roots, frozenset()).items():
        if role == "needed":
            needed.setdefault(name, (*first, *chain))
        else:
            found.setdefault((role, name), (*first, *chain))


def _nodes(need: Dependency | Requirement) -> tuple[Node, ...]:
    return ((need.name, ""), *((need.name, extra) for extra in sorted(need.extras)))


def _applies(root: Requirement, target: Target) -> bool:
    """Tell whether a root counts on the target. packaging is imported only where a marker stands."""
    if root.marker is None:
        return True
    from packaging.markers import Marker

    return Marker(root.marker).evaluate({**target.markers(), "extra": ""})


def _own_wheel(
    layer: LayerSpec, project: Project, roots: Iterable[Requirement], rules: Rules
) -> tuple[str, ...]:
    """Return the project's own package where the layer is declared to hold it and no root names it."""
    name = project.distribution
    if layer.project == "none" or name is None or name not in rules.versions:
        return ()
    return () if any(root.name == name for root in roots) else (name,)


def _alone(layer: LayerSpec, project: Project, roots: Iterable[Requirement]) -> frozenset[str]:
    """Return the packages that lie in the layer without what they require: the project's own."""
    if layer.project == "none":
        return frozenset()
    own = {root.name for root in roots if root.path is not None and root.path == project.root}
    return frozenset(own | ({project.distribution} if project.distribution else set()))


def _refuse_half_an_sdk(rules: Rules, project: Project, reason: str) -> None:
    """Refuse a `never` that would put a part of the SDK into a layer and leave the rest to the runtime."""
    core = SDK_CORE & set(rules.versions)
    dropped = core & rules.never
    if rules.mode != "bundle" or not dropped or dropped == core:
        return
    rest = ", ".join(sorted(core - dropped))
    raise ConfigError(
        f"never lists {', '.join(sorted(dropped))}, but the SDK has to be shipped whole ({reason})",
        where=f"{project.file.name}: tool.layerkit.never-deploy",
        fix=f"take {', '.join(sorted(dropped))} out of never, or put {rest} in too",
    )
