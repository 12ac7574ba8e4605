"""A second look at a plan, by other means than it was made: from its layers and stacks alone.

Every plan passes here before it is used. It costs next to nothing, and shares no code with what makes plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerkit.plan import Plan


def doubts(plan: Plan, needs: Mapping[str, frozenset[str]], code: Mapping[str, int]) -> list[str]:
    """Return what is wrong with a plan, in sentences; nothing for one that Lambda takes and that is whole.

    `needs` are the packages that each stack's roots bring, `code` the bytes of each function's own code.
    """
    return [
        *_about_layers(plan),
        *(doubt for name in needs for doubt in _about_stack(plan, name, needs, code)),
    ]


def _about_layers(plan: Plan) -> Iterator[str]:
    """Yield layers of one name, and packages that stand twice in one."""
    names = [layer.name for layer in plan.layers]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two layers are called {name}"
    for layer in plan.layers:
        if len(set(layer.packages)) != len(layer.packages):
            yield f"a package lies twice in {layer.name}"


def _about_stack(
    plan: Plan, name: str, needs: Mapping[str, frozenset[str]], code: Mapping[str, int]
) -> Iterator[str]:
    """Yield what a stack lacks, has twice, or has too much of."""
    stack = next((one for one in plan.stacks if one.name == name), None)
    if stack is None:
        yield f"{name} has no stack"
        return
    loaded = [layer for each in stack.layers for layer in plan.layers if layer.name == each]
    there = sorted(package for layer in loaded for package in layer.packages)
    if missing := sorted(needs[name] - set(there)):
        yield f"{name} lacks {', '.join(missing)}"
    if double := sorted({package for package in there if there.count(package) > 1}):
        yield f"{name} has {', '.join(double)} in more than one layer"
    size = code.get(name, 0) + sum(layer.unzipped for layer in loaded)
    if (size, limit("unzipped_bytes") - 1 - size) != (stack.unzipped, stack.slack):
        yield f"{name} is said to have {stack.unzipped:,} bytes, and has {size:,}"
    if size >= limit("unzipped_bytes") or len(loaded) > limit("layers_per_function"):
        yield f"{name} has {size:,} bytes in {len(loaded)} layers, more than Lambda takes"
