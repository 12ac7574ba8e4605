"""Every division of a few blocks, or rather all that could still be the best one.

Blocks are placed one after the other, the largest first, into a layer that is there or into a new one,
so that no division is met twice. Waste, indirect zips and layers only grow on the way, and so do the
counts and bytes of each function: whatever is worse than the best so far, or broken, is not followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.plan.auto.case import Cost, Layer, cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerkit.plan.auto.case import Block, Case

# With so many blocks there are 21,147 divisions (the ninth Bell number): a fraction of a second.
FEW = 9


def best(case: Case, blocks: Sequence[Block]) -> tuple[Layer, ...] | None:
    """Return the division that costs least, ties by the names in it; None where every one is broken."""
    search = _Search(case, blocks)
    search.place(0, [])
    return search.found


class _Search:
    """One search: the best division so far, and how many layers and bytes each function has by now."""

    def __init__(self, case: Case, blocks: Sequence[Block]) -> None:
        self.case, self.blocks = case, blocks
        self.found: tuple[Layer, ...] | None = None
        self.key: tuple[Cost, tuple[tuple[str, ...], ...]] | None = None
        self.functions = _functions(case, blocks)

    def place(self, index: int, layers: list[Layer]) -> None:
        """Place the block at `index` and all behind it."""
        if self._hopeless(layers):
            return
        if index == len(self.blocks):
            self._compare(layers)
            return
        block = self.blocks[index]
        for at, layer in enumerate(layers):
            layers[at] = layer.plus(block)
            self.place(index + 1, layers)
            layers[at] = layer
        layers.append(Layer().plus(block))
        self.place(index + 1, layers)
        layers.pop()

    def _hopeless(self, layers: Sequence[Layer]) -> bool:
        """Tell whether what is placed is broken already, or costs more than the best."""
        for bit, slots, room in self.functions:
            loaded = [layer.unzipped for layer in layers if layer.users & bit]
            if len(loaded) > slots or sum(loaded) > room:
                return True
        if self.key is None:
            return False
        waste = sum(layer.waste for layer in layers)
        indirect = sum(layer.zipped > self.case.direct for layer in layers)
        return (waste, indirect, len(layers)) > self.key[0][:3]

    def _compare(self, layers: Sequence[Layer]) -> None:
        """Keep a division that is better than the best so far."""
        names = tuple(sorted(tuple(sorted(layer.packages)) for layer in layers))
        key = (cost(self.case, layers), names)
        if self.key is None or key < self.key:
            self.key, self.found = key, tuple(layers)


def _functions(case: Case, blocks: Sequence[Block]) -> list[tuple[int, int, int]]:
    """Return bit, layers and room of each function; of those that need the same blocks, the least of each."""
    alike: dict[tuple[bool, ...], tuple[int, int, int]] = {}
    for number, function in enumerate(case.functions()):
        bit, slots, room = 1 << number, case.slots[function], case.room[function]
        pattern = tuple(bool(block.users & bit) for block in blocks)
        bit, least, smallest = alike.get(pattern, (bit, slots, room))
        alike[pattern] = (bit, min(least, slots), min(smallest, room))
    return list(alike.values())
