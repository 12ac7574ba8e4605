"""A good division of many blocks: layers grow together where that costs least, then blocks change places.

Deterministic: nothing depends on time, and what is bounded is the number of divisions that are weighed.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from layerkit.plan.auto.case import Layer, broken, cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerkit.plan.auto.case import Block, Case

_WEIGHED = 150_000


def divide(case: Case, blocks: Sequence[Block]) -> tuple[tuple[Layer, ...], set[frozenset[Block]]]:
    """Return a division, still broken where none was found that is not, and the parts met on the way.

    The parts are layers of other divisions: a solver can look for better ones among them.
    """
    seen: set[frozenset[Block]] = {frozenset((block,)) for block in blocks}
    layers = _begun(case, blocks)
    layers = _joined(case, layers, seen)
    layers = _fewer(case, layers)
    layers = _improved(case, layers, seen)
    seen |= {frozenset(layer) for layer in layers}
    return tuple(_weigh(layer) for layer in layers), seen


_Part = tuple["Block", ...]


def _weigh(part: Iterable[Block]) -> Layer:
    layer = Layer()
    for block in part:
        layer = layer.plus(block)
    return layer


def _begun(case: Case, blocks: Sequence[Block]) -> list[_Part]:
    """Return a layer for each set of users, or several, so that each can be uploaded directly."""
    parts: dict[int, list[list[Block]]] = {}
    for block in sorted(blocks, key=lambda one: (-one.zipped, one.packages)):
        bins = parts.setdefault(block.users, [])
        for part in bins:
            if sum(one.zipped for one in part) + block.zipped <= case.direct:
                part.append(block)
                break
        else:
            bins.append([block])
    return [tuple(part) for bins in parts.values() for part in bins]


def _joined(case: Case, parts: Sequence[_Part], seen: set[frozenset[Block]]) -> list[_Part]:
    """Join layers until no function has too many, those first that cost the least waste."""
    alive: dict[int, tuple[_Part, Layer]] = {n: (part, _weigh(part)) for n, part in enumerate(parts)}
    counts = [sum(layer.users >> bit & 1 for _, layer in alive.values()) for bit in range(len(case.needs))]
    heap = [pair for a in alive for b in alive if a < b and (pair := _pair(alive, a, b))]
    heapq.heapify(heap)
    slots = [case.slots[function] for function in case.functions()]
    number = len(parts)
    while heap and (crowded := _bits(count > most for count, most in zip(counts, slots, strict=True))):
        _, _, a, b = heapq.heappop(heap)
        if a not in alive or b not in alive or not alive[a][1].users & alive[b][1].users & crowded:
            continue
        (first, one), (second, other) = alive.pop(a), alive.pop(b)
        for bit in range(len(counts)):
            counts[bit] -= (one.users & other.users) >> bit & 1
        alive[number] = (first + second, one.joined(other))
        seen.add(frozenset(first + second))
        for known in alive:
            if known != number and (pair := _pair(alive, known, number)):
                heapq.heappush(heap, pair)
        number += 1
    return [part for part, _ in alive.values()]


def _pair(alive: dict[int, tuple[_Part, Layer]], a: int, b: int) -> tuple[int, int, int, int] | None:
    """Return two layers with what joining them costs, if any function has both."""
    one, other = alive[a][1], alive[b][1]
    if not one.users & other.users:
        return None
    both = one.joined(other)
    return both.waste - one.waste - other.waste, both.zipped, a, b


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)


def _fewer(case: Case, parts: Sequence[_Part]) -> list[_Part]:
    """Join layers with the same users where the zip can still be uploaded directly."""
    kept: list[_Part] = []
    for part in sorted(parts, key=lambda one: -_weigh(one).zipped):
        layer = _weigh(part)
        for index, other in enumerate(kept):
            both = layer.joined(_weigh(other))
            if both.waste == layer.waste + _weigh(other).waste and both.zipped <= case.direct:
                kept[index] = other + part
                break
        else:
            kept.append(part)
    return kept


def _improved(case: Case, parts: Sequence[_Part], seen: set[frozenset[Block]]) -> list[_Part]:
    """Move blocks, one at a time, and join layers, as long as that costs less."""
    best, left = list(parts), _WEIGHED
    better = True
    while better and left > 0:
        better = False
        here = _Here(case, best)
        for gone, come in _changes(best):
            left -= 1
            if here.improves(gone, come):
                best, better = here.changed(gone, come), True
                seen |= {frozenset(part) for part in come}
                break
            if left <= 0:
                break
    return best


class _Here:
    """A division, and whether a change makes it better: mostly two of its layers tell that it does not."""

    def __init__(self, case: Case, parts: Sequence[_Part]) -> None:
        self.case, self.parts = case, parts
        self.layers = [_weigh(part) for part in parts]
        self.key = _key(case, self.layers)

    def improves(self, gone: tuple[int, ...], come: Sequence[_Part]) -> bool:
        """Tell whether the division with some layers taken away and others added costs less."""
        new = [_weigh(part) for part in come]
        old = [self.layers[index] for index in gone]
        if not self.key[0] and self._counted(new) > self._counted(old):
            return False
        kept = [layer for index, layer in enumerate(self.layers) if index not in gone]
        return _key(self.case, [*kept, *new]) < self.key

    def changed(self, gone: tuple[int, ...], come: Sequence[_Part]) -> list[_Part]:
        """Return the parts of that division."""
        return [*(part for index, part in enumerate(self.parts) if index not in gone), *come]

    def _counted(self, layers: Sequence[Layer]) -> tuple[int, int, int]:
        """Return what layers add to the first three numbers of a cost."""
        indirect = sum(layer.zipped > self.case.direct for layer in layers)
        return sum(layer.waste for layer in layers), indirect, len(layers)


def _key(case: Case, layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return what a division costs; one that is broken for fewer functions is better than any other."""
    return (broken(case, layers).bit_count(), *cost(case, layers))


def _changes(parts: Sequence[_Part]) -> Iterator[tuple[tuple[int, ...], list[_Part]]]:
    """Yield the changes to one block's place, or of two layers into one: which layers go, which come."""
    for index, part in enumerate(parts):
        for block in part:
            without = tuple(one for one in part if one is not block)
            stay = [without] if without else []
            for at, other in enumerate(parts):
                if at != index:
                    yield (index, at), [*stay, (*other, block)]
            if without:
                yield (index,), [without, (block,)]
        for at in range(index + 1, len(parts)):
            yield (index, at), [part + parts[at]]
