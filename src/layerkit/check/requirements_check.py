"""Does everything in a stack find what it requires? What `pip check` asks, with the runtime's packages.

Where it follows pip: each package's own requirements count (those of extras do not), a missing
package and a version outside the specifier are errors, pre-releases are versions like any other.
Where it says more: both sides are named with their layer, a package in two versions is found, and
the requirements of extras that a package asks for are looked at and warned about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.check.findings import Finding, finding
from layerkit.check.version_set import admits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerkit.lock import Lock
    from layerkit.metadata import Dependency
    from layerkit.target import Target


class Installed(Struct, frozen=True, kw_only=True):
    """A package where a function finds it: `layer` is the layer's name, or says that it is the runtime's.

    `version` is None where nobody has seen which version the runtime brings.
    """

    name: str
    version: str | None
    requires: tuple[Dependency, ...] = ()
    layer: str

    def __str__(self) -> str:
        """Return name and version as findings show them."""
        return f"{self.name} {self.version}" if self.version else self.name


class _Stack(Struct, frozen=True, kw_only=True):
    """What a function would import: by name, the layers' packages before the runtime's."""

    found: Mapping[str, Installed]
    runtime: frozenset[str]
    absent: Mapping[str, str]
    layers: tuple[str, ...]


def brought(target: Target, lock: Lock | None = None) -> tuple[Installed, ...]:
    """Return what the runtime brings, as far as it is known.

    The lock adds what the runtime's boto3 and botocore require, where it holds those versions.
    """
    found = []
    for listed, version in target.brings():
        name = listed.replace("_", "-")
        locked = lock.package(name) if lock and version else None
        requires = locked.requires if locked and locked.version == version else ()
        layer = f"the {target.runtime} runtime"
        found.append(Installed(name=name, version=version, requires=requires, layer=layer))
    return tuple(found)


def check_stack(
    installed: Sequence[Installed], runtime: Sequence[Installed], absent: Mapping[str, str] | None = None
) -> list[Finding]:
    """Check the packages of one stack, those of the lowest layer first, on top of what the runtime brings.

    `absent` are the packages that are left out on purpose, with the reason. Where a package lies
    in several layers the last one counts, as its files replace those of the others.
    """
    own = {each.name: each for each in installed}
    stack = _Stack(
        found={each.name: each for each in runtime} | own,
        runtime=frozenset(each.name for each in runtime if each.name not in own),
        absent=absent or {},
        layers=tuple(dict.fromkeys(each.layer for each in installed)),
    )
    faults = (
        _fault(package, need, stack)
        for package in stack.found.values()
        for need in package.requires
        if not need.extra
    )
    return [*_duplicates(installed), *filter(None, faults), *_extras(stack)]


def _duplicates(installed: Iterable[Installed]) -> Iterator[Finding]:
    """Yield the packages that lie in the stack more than once."""
    places: dict[str, list[Installed]] = {}
    for each in installed:
        places.setdefault(each.name, []).append(each)
    for name, found in sorted(places.items()):
        if len(found) == 1:
            continue
        where = ", ".join(dict.fromkeys(each.layer for each in found))
        if len({each.version for each in found}) > 1:
            listed = " and ".join(f"{each.version} in {each.layer}" for each in found)
            text = f"{name} is there in different versions: {listed}"
            yield finding("duplicate-package", where, text, f"keep one version of {name} in one layer")
        else:
            text = f"{found[0]} is there {len(found)} times"
            yield finding("repeated-package", where, text, f"keep {name} in one layer of the stack")


def _fault(package: Installed, need: Dependency, stack: _Stack) -> Finding | None:
    """Return what is wrong with one requirement of a package, if anything is."""
    have = stack.found.get(need.name)
    # What the runtime's packages are to each other is AWS's own matter.
    if package.name in stack.runtime and (have is None or have.name in stack.runtime):
        return None
    where, wants = f"{package.layer}: {package}", f"{package} requires {need.name}{need.specifier}"
    if have is None:
        return _missing(need, where, wants, stack)
    fits = have.version and _fits(have.version, need.specifier)
    if fits or not need.specifier:
        return None
    if have.version is None:
        text = f"{wants}; {have.layer} brings {have.name}, and nobody has seen in which version"
        fix = f"name {have.name} among the layer's requirements to ship it"
        return finding("runtime-version-unknown", where, text, fix)
    if fits is None:
        text = f"{wants}, and {need.specifier!r} is not a version specifier"
        return finding("unreadable-metadata", where, text, f"ask the authors of {package.name} to correct it")
    text = f"{wants} (in {package.layer}), and {have.layer} has {have}"
    fix = f"choose versions of {package.name} and {have.name} that fit each other"
    return finding("version-conflict", where, text, fix)


def _missing(need: Dependency, where: str, wants: str, stack: _Stack) -> Finding:
    if need.name in stack.absent:
        text = f"{wants}, which is left out: {stack.absent[need.name]}"
        fix = f"make sure that the function never imports {need.name}"
        return finding("deliberately-absent", where, text, fix)
    text = f"{wants}, which neither {', '.join(stack.layers)} nor the runtime has"
    fix = f"add {need.name} to a layer of the stack, or list it in tool.layerkit.never-deploy"
    return finding("missing-requirement", where, text, fix)


def _fits(version: str, specifier: str) -> bool | None:
    """Tell whether a version is inside a specifier set; None when that is not one."""
    try:
        return admits(specifier, version)
    except ValueError:
        return None


def _extras(stack: _Stack) -> Iterator[Finding]:
    """Yield faults in the requirements of extras that packages of the stack ask for."""
    waiting = [
        (need.name, extra)
        for package in stack.found.values()
        for need in package.requires
        if not need.extra
        for extra in need.extras
    ]
    seen: set[tuple[str, str]] = set()
    while waiting:
        node = waiting.pop(0)
        package = stack.found.get(node[0])
        if node in seen or package is None:
            continue
        seen.add(node)
        for need in package.requires:
            if need.extra != node[1]:
                continue
            waiting += [(need.name, extra) for extra in need.extras]
            fault = _fault(package, need, stack)
            if fault and fault.severity == "warning":
                yield fault
            elif fault:
                text = f"{fault.text} (for its extra {node[1]!r}, which a package of the stack asks for)"
                yield finding("extra-requirement", fault.where, text, fault.fix)
