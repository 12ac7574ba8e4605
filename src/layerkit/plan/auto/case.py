"""What is to be divided into layers, and what a division costs, in whole numbers.

Every package has the set of functions that need it. A function loads each layer that holds something it
needs, and with it all else in there. What that costs, the first number before the second and so on:

1. `waste`: the bytes that functions load and do not need, unzipped, summed over functions;
2. `indirect`: zips that are too large for a direct upload;
3. `layers`: how many there are;
4. `moved`: packages that are not where the last plan had them;
5. `unsettled`: the zipped bytes of the layers that hold a small package. Small packages are released
   often, and each release uploads the whole layer: so the large ones lie apart from them.

A *block* is packages that are placed as one. Sets of functions are bits of an integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Small is what takes no more than this part of a direct upload: 3.3 MB zipped.
_SMALL = 16


class Cost(NamedTuple):
    """What a division costs; compares as the text above says."""

    waste: int
    indirect: int
    layers: int
    moved: int
    unsettled: int


class Block(Struct, frozen=True, kw_only=True):
    """Packages that stay together: who needs them, and their sizes in bytes."""

    packages: tuple[str, ...]
    users: int
    unzipped: int
    zipped: int


class Case(Struct, frozen=True, kw_only=True):
    """One problem: what each function needs, how many bytes it has room for, and how many layers.

    `sizes` are (unzipped, zipped) by package, `before` the layers of the last plan with their packages,
    `direct` the bytes of a direct upload, `reserved` names that no layer may get.
    """

    needs: Mapping[str, frozenset[str]]
    room: Mapping[str, int]
    slots: Mapping[str, int]
    sizes: Mapping[str, tuple[int, int]]
    direct: int
    before: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()

    def functions(self) -> tuple[str, ...]:
        """Return the functions in the order of their bits."""
        return tuple(sorted(self.needs))

    def is_small(self, package: str) -> bool:
        """Tell whether a package takes but a small part of a direct upload."""
        return self.sizes[package][1] * _SMALL <= self.direct

    def users(self) -> dict[str, int]:
        """Return which functions need each package, as bits; a package that none needs is not there."""
        found: dict[str, int] = {}
        for bit, function in enumerate(self.functions()):
            for package in self.needs[function]:
                found[package] = found.get(package, 0) | 1 << bit
        return dict(sorted(found.items()))


class Layer(NamedTuple):
    """A set of blocks and what counts of it; `own` is what its functions load of it and need."""

    users: int = 0
    unzipped: int = 0
    zipped: int = 0
    own: int = 0
    packages: tuple[str, ...] = ()

    def plus(self, block: Block) -> Layer:
        """Return the layer with one more block in it."""
        return Layer(
            self.users | block.users,
            self.unzipped + block.unzipped,
            self.zipped + block.zipped,
            self.own + block.users.bit_count() * block.unzipped,
            self.packages + block.packages,
        )

    def joined(self, other: Layer) -> Layer:
        """Return both layers as one."""
        return Layer(
            self.users | other.users,
            self.unzipped + other.unzipped,
            self.zipped + other.zipped,
            self.own + other.own,
            self.packages + other.packages,
        )

    @property
    def waste(self) -> int:
        """Return the bytes in it that functions load and do not need."""
        return self.users.bit_count() * self.unzipped - self.own


def layer_of(blocks: Iterable[Block]) -> Layer:
    """Return the layer that holds some blocks."""
    layer = Layer()
    for block in blocks:
        layer = layer.plus(block)
    return layer


def cost(case: Case, layers: Sequence[Layer]) -> Cost:
    """Return what a division costs."""
    return Cost(
        sum(layer.waste for layer in layers),
        sum(layer.zipped > case.direct for layer in layers),
        len(layers),
        moved(case, layers),
        sum(layer.zipped for layer in layers if any(map(case.is_small, layer.packages))),
    )


def moved(case: Case, layers: Sequence[Layer]) -> int:
    """Return how many packages that the last plan placed are not with their old layer's heir."""
    if not case.before:
        return 0
    heirs = inherited(case, layers)
    placed = {package: index for index, layer in enumerate(layers) for package in layer.packages}
    return sum(
        heirs.get(placed[package]) != name
        for name, packages in case.before.items()
        for package in packages
        if package in placed
    )


def inherited(case: Case, layers: Sequence[Layer]) -> dict[int, str]:
    """Return which layer takes over which of the last plan's, by index.

    That with the most bytes in common comes first; of equals the first by name and packages, so that the
    order of the layers does not count.
    """
    placed = {package: index for index, layer in enumerate(layers) for package in layer.packages}
    shared: dict[tuple[str, int], int] = {}
    for name, packages in case.before.items():
        for package in packages:
            if (index := placed.get(package)) is not None:
                key = (name, index)
                shared[key] = shared.get(key, 0) + case.sizes[package][1] + 1
    found: dict[int, str] = {}

    def rank(pair: tuple[str, int]) -> tuple[int, str, list[str]]:
        return -shared[pair], pair[0], sorted(layers[pair[1]].packages)

    for name, index in sorted(shared, key=rank):
        if index not in found and name not in found.values():
            found[index] = name
    return found


def broken(case: Case, layers: Iterable[Layer]) -> int:
    """Return the functions, as bits, that would have too many layers or too many bytes."""
    counts, bytes_ = [0] * len(case.needs), [0] * len(case.needs)
    for layer in layers:
        users = layer.users
        while users:
            bit = (users & -users).bit_length() - 1
            counts[bit] += 1
            bytes_[bit] += layer.unzipped
            users &= users - 1
    found = 0
    for bit, function in enumerate(case.functions()):
        if counts[bit] > case.slots[function] or bytes_[bit] > case.room[function]:
            found |= 1 << bit
    return found
