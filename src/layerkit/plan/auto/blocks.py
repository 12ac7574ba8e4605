"""Which packages are placed as one: the fewer blocks, the sooner every division has been looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.plan.auto.case import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerkit.plan.auto.case import Case

# A heap of small ones is never so large that it alone decides about a zip.
_HEAP = 4


def blocks(case: Case, few: int) -> tuple[Block, ...]:
    """Return the blocks of a case, the largest first: each package by itself where there are few.

    Else small packages with the same users, which the last plan had in the same layer, are one block.
    """
    users = case.users()
    if len(users) <= few:
        found = [_block(case, (name,), bits) for name, bits in users.items()]
    else:
        found = list(_merged(case, users))
    return tuple(sorted(found, key=lambda block: (-block.unzipped, block.packages)))


def _merged(case: Case, users: dict[str, int]) -> Iterator[Block]:
    """Yield the large packages by themselves and the small ones in heaps."""
    was = {package: name for name, packages in case.before.items() for package in packages}
    heaps: dict[tuple[int, str], list[str]] = {}
    for name, bits in users.items():
        if case.is_small(name):
            heaps.setdefault((bits, was.get(name, "")), []).append(name)
        else:
            yield _block(case, (name,), bits)
    for (bits, _), names in sorted(heaps.items()):
        for heap in _parts(case, names):
            yield _block(case, heap, bits)


def _parts(case: Case, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield names in heaps of a bounded size."""
    heap: list[str] = []
    size = 0
    for name in names:
        if heap and (size + case.sizes[name][1]) * _HEAP > case.direct:
            yield tuple(heap)
            heap, size = [], 0
        heap.append(name)
        size += case.sizes[name][1]
    yield tuple(heap)


def _block(case: Case, packages: tuple[str, ...], users: int) -> Block:
    return Block(
        packages=packages,
        users=users,
        unzipped=sum(case.sizes[name][0] for name in packages),
        zipped=sum(case.sizes[name][1] for name in packages),
    )
