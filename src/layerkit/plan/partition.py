"""Which layer of a stack holds a package: exactly one, and the same for every function.

Who holds a package, in this order; the first rule on which all stacks agree counts:

1. the first layer of the stack whose roots name it, else the first one whose roots bring it;
2. the first layer of the stack whose roots bring it;
3. one layer that lies in every stack whose layers bring it, one that names it before others.

The stacks agree when each of them that brings the package has exactly one of the layers that hold
it. A bundled SDK is not split by what the roots name: rule 1 skips boto3, botocore and s3transfer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.errors import ConfigError
from layerkit.target import SDK_CORE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.plan.closure import Closure, Rules
    from layerkit.project import Project

    # The layers of each stack, by the stack's name, in the order Lambda lays them down.
    Stacks = Mapping[str, tuple[str, ...]]


def partition(
    stacks: Stacks,
    closures: Mapping[str, Closure],
    rules: Rules,
    project: Project,
) -> dict[str, set[str]]:
    """Return the packages that each layer holds; every package of a stack is in one of its layers."""
    held: dict[str, set[str]] = {name: set() for name in closures}
    split: dict[str, dict[str, str]] = {}
    for package in sorted({name for each in closures.values() for name in each.needed}):
        bringing = [name for name, each in closures.items() if package in each.needed]
        naming = {name for name in bringing if package in closures[name].named}
        if rules.mode == "bundle" and package in SDK_CORE:
            naming = set()
        for preferred in _preferences(bringing, naming, stacks):
            owners = _owners(stacks, bringing, preferred)
            if _agree(owners, stacks):
                for owner in set(owners.values()):
                    held[owner].add(package)
                break
        else:
            split[package] = _owners(stacks, bringing, set())
    if split:
        raise _conflict(split, stacks, project)
    return held


def _preferences(bringing: Sequence[str], naming: set[str], stacks: Stacks) -> Iterator[set[str]]:
    """Yield, rule after rule, the layers that hold a package wherever they are."""
    yield naming
    if naming:
        yield set()
    concerned = [names for names in stacks.values() if set(names) & set(bringing)]
    for name in sorted(bringing, key=lambda each: each not in naming):
        if all(name in names for names in concerned):
            yield {name}


def _owners(stacks: Stacks, bringing: Sequence[str], preferred: set[str]) -> dict[str, str]:
    """Return the layer that holds a package, by stack: a preferred one, else the first to bring it."""
    owners: dict[str, str] = {}
    for stack, names in stacks.items():
        there = [name for name in names if name in bringing]
        if there:
            owners[stack] = next((name for name in there if name in preferred), there[0])
    return owners


def _agree(owners: Mapping[str, str], stacks: Stacks) -> bool:
    """Tell whether no stack has a layer that holds the package for another stack but not for it."""
    holding = set(owners.values())
    return all(len(holding.intersection(stacks[stack])) == 1 for stack in owners)


def _conflict(split: Mapping[str, Mapping[str, str]], stacks: Stacks, project: Project) -> ConfigError:
    """Say which packages no rule can place: which layer would hold them for which function."""
    together: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for package, owners in split.items():
        together.setdefault(tuple(owners.items()), []).append(package)
    lines = []
    for placed, packages in together.items():
        places = (f"{stack} ({', '.join(stacks[stack])}) has it in {owner}" for stack, owner in placed)
        lines.append(f"{', '.join(packages)}: {'; '.join(places)}")
    package, functions = next(iter(split.items()))
    return ConfigError(
        "a layer cannot hold different packages for different functions\n    " + "\n    ".join(lines),
        where=f"{project.file.name}: tool.layerkit",
        fix=f"declare a layer that names {package} among its requirements, and give it to "
        f"{' and '.join(functions)}; or give these functions the same layers",
    )
