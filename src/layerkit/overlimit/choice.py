"""Which files go into frames: those that make every stack fit and cost a start the least. Pure.

What a start pays is the bytes that it unpacks, and every file, link and folder that it makes: a file that is
moved has its folder mirrored, with a link for each of its neighbours (places.mirrored).
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from layerkit.overlimit import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# What a file costs in its package's index and the central directory, about, in bytes.
_ROW = 200
# A file that compresses worse than this is left as it is: it would be unpacked for nothing.
_WORTH = 0.9
_SMALLEST = 1 << 10  # bytes below which a file costs more time than it saves room
# What takes as long as to unpack so many bytes: to open a file, and to make one, a link or a folder.
_OPENED, _MADE = 20_000, 100_000


class File(NamedTuple):
    """A file of a package; `packed` is an estimate of its bytes in frames."""

    name: str
    size: int
    packed: int

    @property
    def saves(self) -> int:
        """Return the bytes that Lambda counts less when the file is in frames."""
        return self.size - self.packed - _ROW


class Need(Struct, frozen=True, kw_only=True):
    """A stack: its packages, and all its bytes unzipped, code and the loader included."""

    packages: frozenset[str]
    unzipped: int


class Choice(Struct, frozen=True, kw_only=True):
    """By package, the files that go into frames, and those of them whose frames no layer can hold.

    `over` is by how many bytes stacks are too large all the same, by name.
    """

    framed: Mapping[str, frozenset[str]]
    remote: Mapping[str, frozenset[str]]
    over: Mapping[str, int]


class _Stacks(Struct):
    """The stacks that are too large, and by how much yet."""

    excess: dict[str, int]
    holding: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def wanting(self, package: str) -> int:
        """Return the bytes by which the largest stack that holds the package is too large; 0 if none is."""
        return max((0, *(self.excess[name] for name in self.holding[package])))

    def save(self, package: str, size: int) -> None:
        """Count bytes that the package takes no more, in all its stacks."""
        for name in self.holding[package]:
            self.excess[name] -= size

    def spares(self, package: str, size: int) -> bool:
        """Say whether the package may take so many bytes more."""
        return all(self.excess[name] + size <= 0 for name in self.holding[package])


class _Package:
    """A package whose files may be moved: by folder the largest first, and what is mirrored already."""

    def __init__(self, files: Sequence[File]) -> None:
        """Sort the files."""
        self.waiting: dict[str, list[File]] = defaultdict(list)
        self._mirrored: set[str] = set()
        self._entries: dict[str, set[str]] = defaultdict(set)
        for file in sorted(files, key=lambda file: (-file.size, file.name)):
            if _worth(file):
                self.waiting[_parent(file.name)].append(file)
            name = file.name
            while name and name not in self._entries[_parent(name)]:
                self._entries[_parent(name)].add(name)
                name = _parent(name)
        self._always = places.mirrored((file.name for file in files), ())

    def best(self, folder: str, wanting: int) -> tuple[float, slice]:
        """Return which files of a folder save most for what they cost, and how much, if so much is wanting.

        What is saved beyond that counts for nothing. The files are those from some size on downwards: from
        the smallest that is enough by itself, or from the next one.
        """
        files = self.waiting[folder]
        made = sum(_MADE * (1 + len(self._entries[one])) for one in self._missing(folder))
        enough = sum(file.saves >= wanting for file in files)
        return max(
            (_from(files, first, made, wanting) for first in {max(0, enough - 1), enough} - {len(files)}),
            key=lambda found: found[0],
        )

    def move(self, folder: str) -> list[str]:
        """Have a folder mirrored; return it, and the folders that cost less from now on."""
        missing = self._missing(folder)
        self._mirrored.update(missing)
        below = tuple(f"{one}/" for one in missing)
        return [folder, *(one for one in self.waiting if one != folder and f"{one}/".startswith(below))]

    def _missing(self, folder: str) -> set[str]:
        """Return the folders that have to be mirrored for a file of this one to move."""
        wanted = set(self._always) if not self._mirrored else set()
        while folder:
            wanted.add(folder)
            folder = _parent(folder)
        return wanted - self._mirrored


def choose(
    needs: Mapping[str, Need], files: Mapping[str, Sequence[File]], most: int, *, remote: bool
) -> Choice:
    """Return which files of which packages go into frames so that no stack has more than `most` bytes.

    `files` are those of each package that may. With `remote`, frames may also leave the layers. What is
    left over is not put into frames: less to unpack, an earlier start.
    """
    stacks = _Stacks({name: need.unzipped - most for name, need in needs.items()})
    for name, need in needs.items():
        for package in need.packages:
            stacks.holding[package].append(name)
    taken = _taken(stacks, {name: _Package(found) for name, found in files.items()})
    apart: dict[str, set[str]] = defaultdict(set)
    for package, file in sorted(taken, key=lambda pair: -pair[1].packed) if remote else ():
        if stacks.wanting(package):
            apart[package].add(file.name)
            stacks.save(package, file.packed)
    framed: dict[str, set[str]] = defaultdict(set)
    for package, file in taken:
        framed[package].add(file.name)
    return Choice(
        framed={package: frozenset(names) for package, names in framed.items()},
        remote={package: frozenset(names) for package, names in apart.items()},
        over={name: excess for name, excess in stacks.excess.items() if excess > 0},
    )


def _taken(stacks: _Stacks, packages: Mapping[str, _Package]) -> list[tuple[str, File]]:
    """Return package and file, folder by folder as they save most for what they cost, and none in vain."""
    taken: list[tuple[str, File]] = []
    heap: list[tuple[float, str, str]] = []

    def wait(name: str, folders: Iterable[str]) -> None:
        for folder in folders:
            if packages[name].waiting[folder] and (wanting := stacks.wanting(name)):
                heappush(heap, (-packages[name].best(folder, wanting)[0], name, folder))

    for name, one in packages.items():
        wait(name, list(one.waiting))
    while heap:
        score, name, folder = heappop(heap)
        files, wanting = packages[name].waiting[folder], stacks.wanting(name)
        if not (files and wanting):
            continue
        now, best = packages[name].best(folder, wanting)
        if now < -score:  # less is wanting by now, or its best files are gone
            heappush(heap, (-now, name, folder))
            continue
        for file in files[best]:
            if stacks.wanting(name):
                taken.append((name, file))
                stacks.save(name, file.saves)
        del files[best]
        wait(name, packages[name].move(folder))
    return list(_needed(stacks, taken))


def _from(files: Sequence[File], first: int, made: int, wanting: int) -> tuple[float, slice]:
    """Return how many files from `first` on save most for what they cost, with so much to be made before."""
    saved = accumulate(file.saves for file in files[first:])
    paid = accumulate((file.size + _OPENED for file in files[first:]), initial=made)
    next(paid)
    shares = (min(save, wanting) / pay for save, pay in zip(saved, paid, strict=True))
    share, last = max((share, -number) for number, share in enumerate(shares, first))
    return share, slice(first, 1 - last)


def _needed(stacks: _Stacks, taken: Sequence[tuple[str, File]]) -> Iterator[tuple[str, File]]:
    """Yield what was taken without what came to be superfluous by what was taken later."""
    for package, file in sorted(taken, key=lambda pair: (-pair[1].size, pair[0], pair[1].name)):
        if stacks.spares(package, file.saves):
            stacks.save(package, -file.saves)
        else:
            yield package, file


def _worth(file: File) -> bool:
    return file.size >= _SMALLEST and file.packed <= file.size * _WORTH and file.saves > 0


def _parent(name: str) -> str:
    return name.rpartition("/")[0]
