"""Making stacks fit that do not: from a lock and prepared wheels to others in their place."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.archive import Run
from layerkit.errors import LimitExceededError
from layerkit.lock.decoder import DECODERS, built_in, decoder
from layerkit.metadata import Dependency
from layerkit.overlimit import places
from layerkit.overlimit.choice import File, Need, choose
from layerkit.overlimit.framing import framed
from layerkit.overlimit.loader_wheel import NAME, loader
from layerkit.overlimit.nesting import nested
from layerkit.plan import most_unzipped, stack_packages
from layerkit.target import sdk_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from layerkit.lock import Lock, LockedPackage
    from layerkit.overlimit.choice import Choice
    from layerkit.overlimit.codec import Codec
    from layerkit.prepare import PreparedWheel
    from layerkit.project import Project
    from layerkit.store import Store

    Wheels = Mapping[str, PreparedWheel]
    Prepare = Callable[[Sequence[LockedPackage]], Wheels]

# What frames take of what deflate takes: no more than that in nearly all that was tried. Where it is more,
# the choice is made again; where it is less, more is unpacked than need be.
_BETTER = 0.82
_TRIES = 4
_SPARE = 8 << 20  # bytes left for the code of functions that nobody has said anything of
_MIB = 1 << 20
_STEP = 64  # MB that advice is rounded up to
_LEAST = 512  # MB of ephemeral storage that every function has
_FILE_SYSTEM = 1.05  # what /tmp holds less than its size
_PYTHON = 128  # MB that a function needs beside what is unpacked


class Fitted(Struct, frozen=True, kw_only=True):
    """A lock whose packages require the loader where they need it, prepared wheels, and sentences."""

    lock: Lock
    prepared: Wheels
    notes: tuple[str, ...] = ()


def fit(
    project: Project, lock: Lock, prepared: Wheels, code: Mapping[str, int], store: Store, prepare: Prepare
) -> Fitted:
    """Return what makes every stack fit, in the way that the project says; the same where all of them do.

    `code` are the bytes of each function's own code, `prepare` prepares packages of a lock. Raises
    LimitExceededError where a stack is too large even so.
    """
    mode = project.over_limit.mode
    stacks = stack_packages(project, lock) if mode != "error" else {}
    sizes = {name: code.get(name, 0) + _unzipped(prepared, names) for name, names in stacks.items()}
    large = {name: stacks[name] for name, size in sizes.items() if size > most_unzipped()}
    if not large:
        return Fitted(lock=lock, prepared=prepared)
    name = decoder(project, lock.target)
    tool = lock.package(name) if name else None
    own = loader(project.over_limit, tool.name if tool else None, lock.target, project.layout, store)
    tools = [own, *([tool] if tool else [])]
    made = prepare(tools)
    site = lock.target.site_packages(project.layout)
    moved: Wheels
    if mode == "nested-zip":
        moved = {name: nested(prepared[name], site, store) for name in sorted(_union(large))}
    else:
        codec: Codec = "zstd" if tool or built_in(lock.target) else "zlib"
        extra = _unzipped(made, made)
        needs = {name: Need(packages=large[name], unzipped=sizes[name] + extra) for name in large}
        moved = _bundled(project, lock, {**prepared, **made}, needs, codec, store)
    return Fitted(
        lock=_requiring(lock, moved, own),
        prepared={**prepared, **made, **moved},
        notes=tuple(_note(project, one, sizes[one], moved, large[one]) for one in sorted(large)),
    )


def _bundled(
    project: Project, lock: Lock, prepared: Wheels, needs: Mapping[str, Need], codec: Codec, store: Store
) -> Wheels:
    """Return the wheels whose large files are in frames now, so that every stack fits."""
    site, most = lock.target.site_packages(project.layout), most_unzipped()
    movable = _union(need.packages for need in needs.values()) - _needed_to_unpack(project)
    files = {name: list(_files(prepared[name], site)) for name in movable}
    moved: Wheels = {}
    for _ in range(_TRIES):
        choice = _choice(project, needs, files, most)
        if choice.over:
            raise _too_large(lock, choice)
        moved = {
            name: framed(prepared[name], names, choice.remote.get(name, frozenset()), codec, site, store)
            for name, names in sorted(choice.framed.items())
        }
        after = {**prepared, **moved}
        excess = max(_left(one, prepared, after) for one in needs.values()) - most_unzipped()
        if excess <= 0:
            break
        most -= excess
    return moved


def _choice(
    project: Project, needs: Mapping[str, Need], files: Mapping[str, Sequence[File]], most: int
) -> Choice:
    """Return which files to move: with room to spare where that can be had, in layers if they can hold it."""
    found = choose(needs, files, most - _SPARE, remote=False)
    if found.over:
        found = choose(needs, files, most, remote=False)
    if found.over and project.over_limit.remote:
        found = choose(needs, files, most, remote=True)
    return found


def _left(need: Need, before: Wheels, after: Wheels) -> int:
    """Return what a stack has unzipped when some of its wheels are others."""
    return need.unzipped - _unzipped(before, need.packages) + _unzipped(after, need.packages)


def _needed_to_unpack(project: Project) -> frozenset[str]:
    """Return the packages that have to work before anything is unpacked."""
    from_s3 = (project.over_limit.remote or "").startswith("s3://")
    return DECODERS | (sdk_set() if from_s3 else frozenset())


def _files(wheel: PreparedWheel, site: str) -> Iterable[File]:
    """Yield the files of a wheel that may go into frames."""
    for entry in Run.open(wheel.path).names():
        name = entry.name.removeprefix(f"{site}/")
        if name != entry.name and places.may_move(name):
            yield File(name, entry.size, int(entry.length * _BETTER))


def _requiring(lock: Lock, moved: Collection[str], own: LockedPackage) -> Lock:
    """Return the lock with the loader in it, required by the packages that need it."""
    needed = Dependency(name=NAME)
    packages = [
        replace(package, requires=(*package.requires, needed)) if package.name in moved else package
        for package in lock.packages
    ]
    return replace(lock, packages=tuple(sorted((*packages, own), key=lambda package: package.name)))


def _too_large(lock: Lock, choice: Choice) -> LimitExceededError:
    """Return the error for stacks that no bundle makes small enough."""
    count = sum(map(len, choice.framed.values()))
    faults = [
        f"{name}: {over:,} bytes more than Lambda takes, even with {count:,} files in frames"
        for name, over in sorted(choice.over.items())
    ]
    fix = 'keep frames in S3: over-limit = {mode = "bundle", remote = "s3://bucket/prefix"}; or give it less'
    return LimitExceededError("\n".join(faults), where=lock.target.key, fix=fix)


def _note(project: Project, stack: str, size: int, moved: Wheels, packages: Collection[str]) -> str:
    """Say what a function needs whose stack was too large."""
    names = sorted(name for name in packages if name in moved)
    unpacked = sum(moved[name].unpacked for name in names)
    when = "first imported" if project.over_limit.lazy else "the function starts"
    return (
        f"{stack}: {size:,} bytes unzipped are {size - most_unzipped():,} more than Lambda takes:"
        f" {unpacked:,} bytes of {', '.join(names)} are unpacked to /tmp when {when};"
        f" give it {ephemeral_storage(unpacked)} MB of ephemeral storage,"
        f" and {_megabytes(unpacked, _PYTHON)} MB of memory to keep them in memory"
    )


def ephemeral_storage(unpacked: int) -> int:
    """Return the MB of /tmp that a function needs for so many bytes that are unpacked."""
    return _megabytes(unpacked * _FILE_SYSTEM, 0)


def _megabytes(size: float, more: int) -> int:
    """Return the size in MB, as the function is configured, with so many MB more."""
    return max(_LEAST, ceil((size / _MIB + more) / _STEP) * _STEP)


def _unzipped(prepared: Wheels, names: Iterable[str]) -> int:
    return sum(prepared[name].unzipped for name in names)


def _union(sets: Iterable[Iterable[str]] | Mapping[str, Iterable[str]]) -> frozenset[str]:
    every = sets.values() if isinstance(sets, dict) else sets
    return frozenset(name for names in every for name in names)
