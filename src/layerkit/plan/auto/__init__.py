"""Layers that nobody declared: which package goes where, so that functions load little that they do not need.

    case -> blocks -> every division of few blocks, or a search among many -> named layers

Pure: what is known is in the case, and the same case gives the same layers everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.plan.auto import exact, search, solver
from layerkit.plan.auto.blocks import blocks
from layerkit.plan.auto.case import Case, Cost, broken, cost, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.plan.auto.case import Block, Layer

__all__ = ["Case", "Cost", "Division", "divide"]


class Division(Struct, frozen=True, kw_only=True):
    """The layers by name with their packages, lowest first, what they cost, and how sure that is.

    `proved` says that no other division costs less; `how` is the sentence that tells what was done.
    """

    layers: Mapping[str, tuple[str, ...]]
    cost: Cost
    proved: bool
    how: str


def divide(case: Case) -> Division | None:
    """Return the layers of a case; None where no division was found that Lambda would take."""
    parts = blocks(case, exact.FEW)
    merged = sum(len(block.packages) for block in parts) - len(parts)
    if len(parts) <= exact.FEW:
        found = exact.best(case, parts)
        how = "every division was weighed"
        proved = merged == 0
        if merged:
            how += f", with {merged} small packages kept together with others of the same functions"
    else:
        found, how = _searched(case, parts)
        proved = False
    if found is None or broken(case, found):
        return None
    if not proved and _least(case, cost(case, found)):
        how = "fewer bytes, zips above a direct upload, or layers are not possible"
    return Division(layers=_named(case, found), cost=cost(case, found), proved=proved, how=how)


def _least(case: Case, price: Cost) -> bool:
    """Tell whether a division reaches what no division can go below, of the first three that count.

    Without waste, packages of different users lie in different layers; and a package that is by itself
    too large for a direct upload makes one zip too large.
    """
    users = case.users()
    too_large = sum(case.sizes[name][1] > case.direct for name in users)
    return price[:3] == (0, too_large, len(set(users.values())))


def _searched(case: Case, parts: Sequence[Block]) -> tuple[tuple[Layer, ...], str]:
    """Return the best division that the search, and HiGHS where it is installed, come to."""
    found, seen = search.divide(case, parts)
    how = f"the best of what a search over {len(parts)} parts came to; a better one may exist"
    if not solver.installed():
        return found, f"{how} (pip install 'layerkit[planner]' lets HiGHS look for it)"
    other = solver.chosen(case, parts, seen)
    if other is not None and _key(case, other) < _key(case, found):
        return other, f"{how} than HiGHS put together from {len(seen)} layers"
    return found, f"{how}, though HiGHS found none among {len(seen)} layers"


def _key(case: Case, layers: Sequence[Layer]) -> tuple[int, ...]:
    return (broken(case, layers).bit_count(), *cost(case, layers))


def _named(case: Case, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
    """Return the layers under their names, those with the most users lowest.

    A layer keeps the name of the one it takes over; a new one is called after its largest package.
    """
    heirs = inherited(case, layers)
    order = sorted(
        range(len(layers)),
        key=lambda n: (-layers[n].users.bit_count(), -layers[n].unzipped, layers[n].packages),
    )
    names = {index: name for index, name in heirs.items() if name not in case.reserved}
    taken = set(names.values()) | case.reserved
    for index in order:
        if index not in names:
            names[index] = _free(_largest(case, layers[index]), taken)
            taken.add(names[index])
    return {names[index]: tuple(sorted(layers[index].packages)) for index in order}


def _largest(case: Case, layer: Layer) -> str:
    """Return the name of a layer's largest package, as Lambda takes it."""
    name = min(layer.packages, key=lambda package: (-case.sizes[package][0], package))
    return name.replace(".", "-")


def _free(name: str, taken: set[str]) -> str:
    """Return a name that no other layer has."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
