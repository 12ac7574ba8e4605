"""Paths that several packages of a layer hold, and which package's file is kept.

Lambda would see one file per path. The same file twice is kept once, from the first package by
name. Different files under one path are refused, for nobody but the user can say which one is right;
the project says it as `[tool.layerkit.collisions]`, path in the layer = package that wins. The RECORD
of the package that loses still lists the file, as it does where pip installs one over the other.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.archive import compose, fold
from layerkit.errors import ConfigError, WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerkit.archive import Entry, Run

    Claims = Mapping[int, Entry]  # the runs that hold one path, by index in order, and their entries

_SHOWN = 10


def decide(
    layer: str, packages: Sequence[str], runs: Sequence[Run], winners: Mapping[str, str]
) -> dict[int, frozenset[str]]:
    """Return, per index into `runs`, the members to leave out.

    `packages` are the names of the runs, `winners` is path -> package as the project says it. Raises
    WheelError that lists what is undecided, ConfigError for a winner that does not have the file.
    """
    skip: dict[int, set[str]] = defaultdict(set)
    folded = [_folded(run) for run in runs]
    faults = _files_that_are_folders(folded, packages)
    for claims in _claims(runs, folded):
        winner = _configured(claims, packages, winners)
        if winner is None and _same(claims, runs):
            winner = next(iter(claims))
        if winner is None:
            faults.append(_fault(claims, packages))
            continue
        for index, entry in claims.items():
            if index != winner:
                skip[index].add(entry.name)
    if faults:
        raise _error(layer, faults)
    return {index: frozenset(names) for index, names in skip.items()}


def _folded(run: Run) -> list[str]:
    """Return the folded paths of a run, all at once where they are ASCII, as nearly all are."""
    joined = "\0".join([entry.name for entry in run.names()])
    return joined.lower().split("\0") if joined.isascii() else [fold(name) for name in joined.split("\0")]


def _claims(runs: Sequence[Run], folded: Sequence[Iterable[str]]) -> Iterator[Claims]:
    """Yield the claims to every path that several runs hold, in the order of the paths.

    Paths are one when they fold to the same. A layer has thousands of paths and hardly ever such a
    one, so all that is done for each is one step of a set operation.
    """
    owners: dict[str, list[int]] = {}
    seen: dict[str, int] = {}
    for index, names in enumerate(folded):
        own = dict.fromkeys(names, index)
        for key in seen.keys() & own.keys():
            owners.setdefault(key, [seen[key]]).append(index)
        seen |= own
    if not owners:
        return
    involved = {index for indexes in owners.values() for index in indexes}
    entries = {index: {fold(entry.name): entry for entry in runs[index].names()} for index in involved}
    for key in sorted(owners):
        yield {index: entries[index][key] for index in owners[key]}


def _configured(claims: Claims, packages: Sequence[str], winners: Mapping[str, str]) -> int | None:
    """Return the index of the run that the project lets win, None where it says nothing."""
    for entry in claims.values():
        if entry.name in winners:
            wanted = winners[entry.name]
            for index in claims:
                if packages[index] == wanted:
                    return index
            raise ConfigError(
                f"{wanted} does not bring this file",
                where=f'[tool.layerkit.collisions] "{entry.name}"',
                fix=f"name one of {', '.join(packages[index] for index in claims)}",
            )
    return None


def _same(claims: Claims, runs: Sequence[Run]) -> bool:
    """Say whether all runs hold the same name with the same bytes, whatever tool compressed them."""
    if len({(entry.name, entry.crc, entry.size) for entry in claims.values()}) > 1:
        return False
    if not any(entry.size for entry in claims.values()):
        return True
    if len({_raw(runs[index], entry) for index, entry in claims.items()}) == 1:
        return True
    return len({_content(runs[index], entry) for index, entry in claims.items()}) == 1


def _raw(run: Run, entry: Entry) -> bytes:
    """Return a member as it lies in its run, header and stream."""
    with run.path.open("rb") as file:
        file.seek(entry.offset)
        return file.read(entry.length)


def _content(run: Run, entry: Entry) -> bytes:
    """Return the bytes of a member: a run is not made for inflating, a zip of that one member is."""
    from tempfile import TemporaryDirectory

    from layerkit.archive import Archive

    others = frozenset(other.name for other in run.names()) - {entry.name}
    with TemporaryDirectory(prefix="layerkit-") as folder:
        path = Path(folder, "member.zip")
        compose(path, [run], skip={0: others})
        with Archive.open(path) as archive:
            return archive.read(archive.members[0])


def _files_that_are_folders(folded: Sequence[Sequence[str]], packages: Sequence[str]) -> list[str]:
    """Say which packages bring a file where another one brings a folder; nothing can settle that."""
    folders: set[str] = set()
    for parent in {name[: name.rfind("/")] for names in folded for name in names if "/" in name}:
        folder = parent
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return [
        f"{name}: a file in {packages[index]} and a folder in {_with_folder(name, folded, packages)}"
        for index, names in enumerate(folded)
        for name in sorted(folders.intersection(names))
    ]


def _with_folder(folder: str, folded: Iterable[Sequence[str]], packages: Sequence[str]) -> str:
    """Return the first package that has something in `folder`."""
    return next(
        package
        for package, names in zip(packages, folded, strict=True)
        if any(name.startswith(f"{folder}/") for name in names)
    )


def _fault(claims: Claims, packages: Sequence[str]) -> str:
    """Name the path and the packages of one collision, and each spelling where they differ."""
    names = {entry.name for entry in claims.values()}
    if len(names) == 1:
        return f"{names.pop()}: different files in {_listed([packages[index] for index in claims])}"
    spelled = [f"{packages[index]} ({entry.name})" for index, entry in claims.items()]
    return f"one path where case or Unicode form is ignored: {_listed(spelled)}"


def _listed(words: Sequence[str]) -> str:
    """Join words as one reads them out."""
    return " and ".join([", ".join(words[:-1]), words[-1]])


def _error(layer: str, faults: Sequence[str]) -> WheelError:
    """Return the error that lists the collisions of a layer and the way out."""
    more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    lines = ["packages bring different files under one path", *faults[:_SHOWN], *more]
    return WheelError(
        "\n  ".join(lines),
        where=f"layer {layer}",
        fix='say which package wins: [tool.layerkit.collisions] "path" = "package"',
    )
