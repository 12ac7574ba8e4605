"""Which files go into frames: as few as make every stack fit, the largest first. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What a file costs in its package's index and the central directory, about, in bytes.
_ROW = 200
# A file that compresses worse than this is left as it is: it would be unpacked for nothing.
_WORTH = 0.9
_SMALLEST = 1 << 10  # bytes below which a file costs more time than it saves room


class File(NamedTuple):
    """A file of a package; `packed` is an estimate of its bytes in frames."""

    name: str
    size: int
    packed: int

    @property
    def saves(self) -> int:
        """Return the bytes that Lambda counts less when the file is in frames."""
        return self.size - self.packed - _ROW


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A stack: its packages, and all its bytes unzipped, code and the loader included."""

    packages: frozenset[str]
    unzipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """By package, the files that go into frames, and those of them whose frames no layer can hold.

    `over` is by how many bytes stacks are too large all the same, by name.
    """

    framed: Mapping[str, frozenset[str]]
    remote: Mapping[str, frozenset[str]]
    over: Mapping[str, int]


@dataclass(slots=True)
class _Stacks:
    """The stacks that are too large, and by how much yet."""

    excess: dict[str, int]
    holding: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def wanted(self, package: str) -> bool:
        """Say whether a stack that is too large holds the package."""
        return any(self.excess[name] > 0 for name in self.holding[package])

    def save(self, package: str, size: int) -> None:
        """Count bytes that the package takes no more, in all its stacks."""
        for name in self.holding[package]:
            self.excess[name] -= size


def choose(
    needs: Mapping[str, Need], files: Mapping[str, Sequence[File]], most: int, *, remote: bool
) -> Choice:
    """Return which files of which packages go into frames so that no stack has more than `most` bytes.

    `files` are those of each package that may. With `remote`, frames may also leave the layers. What is
    left over is not put into frames: fewer bytes to unpack, an earlier start.
    """
    stacks = _Stacks({name: need.unzipped - most for name, need in needs.items()})
    for name, need in needs.items():
        for package in need.packages:
            stacks.holding[package].append(name)
    framed: dict[str, set[str]] = defaultdict(set)
    taken: list[tuple[str, File]] = []
    for package, file in _largest(files):
        if stacks.wanted(package):
            framed[package].add(file.name)
            taken.append((package, file))
            stacks.save(package, file.saves)
    apart: dict[str, set[str]] = defaultdict(set)
    for package, file in sorted(taken, key=lambda pair: -pair[1].packed) if remote else ():
        if stacks.wanted(package):
            apart[package].add(file.name)
            stacks.save(package, file.packed)
    return Choice(
        framed={package: frozenset(names) for package, names in framed.items()},
        remote={package: frozenset(names) for package, names in apart.items()},
        over={name: excess for name, excess in stacks.excess.items() if excess > 0},
    )


def _largest(files: Mapping[str, Sequence[File]]) -> Iterator[tuple[str, File]]:
    """Yield package and file, the largest file first, those that are worth it."""
    every = [(package, file) for package, found in files.items() for file in found]
    for package, file in sorted(every, key=lambda pair: (-pair[1].size, pair[0], pair[1].name)):
        if file.size >= _SMALLEST and file.packed <= file.size * _WORTH and file.saves > 0:
            yield package, file
