"""Which modules a function could import from a stack's zips, and whose they are."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.archive import Archive
from layerkit.scheme import modules as top_level

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from layerkit.target import Target

_RECORD = re.compile(r"([^/]+)\.dist-info/RECORD")
_MODULE = re.compile(r"([^/.]+)(?:\.(?:cpython|abi3)[^/]*)?\.(?:py|pyc|so)")


# A folder's entries; a file is an entry with nothing in it.
_Folder = dict[str, Any]


class Module(Struct, frozen=True, kw_only=True):
    """A module of a stack: its dotted name, the zip it is imported from, the package whose it is.

    `package` is a canonical name, None where no RECORD names the module's file. `code` says that
    it is the function's own.
    """

    name: str
    zip: str
    package: str | None = None
    code: bool = False


def stack_modules(layers: Sequence[Path], code: Path | None, target: Target) -> tuple[Module, ...]:
    """Return the modules to import from a stack, the lowest layer first, in name order.

    A name that occurs more than once is the one that would be imported: the function's code comes
    before the layers, a later layer before an earlier one.
    """
    folders = [target.site_packages(layout) for layout in ("flat", "versioned")]
    found: dict[str, Module] = {}
    for path in layers:
        with Archive.open(path) as archive:
            for folder in folders:
                found |= {one.name: one for one in _modules(archive, folder, code=False)}
    if code is not None:
        with Archive.open(code) as archive:
            found |= {one.name: one for one in _modules(archive, "", code=True)}
    return tuple(found[name] for name in sorted(found))


def _modules(archive: Archive, folder: str, *, code: bool) -> Iterator[Module]:
    """Yield the modules in one folder of a zip. What is vendored beside a function's code is not its own."""
    start = f"{folder}/" if folder else ""
    inside = (one.name.removeprefix(start) for one in archive.members if one.name.startswith(start))
    # Below python/ lies the folder with the version, which is looked at by itself.
    paths = [path for path in inside if code or not path.startswith("lib/python")]
    owners = _owners(archive, start, paths)
    for name in importable(paths):
        package = owners.get(name) or owners.get(name.partition(".")[0])
        yield Module(name=name, zip=archive.name, package=package, code=code and package is None)


def importable(paths: Collection[str]) -> tuple[str, ...]:
    """Return the dotted names of what can be imported from the files of a folder, sorted.

    A folder without `__init__` says nothing by being imported, so the packages and extension
    modules in it stand for it, at any depth; a plain file of Python in such a folder may as well be
    a script, and is left alone. Where there is nothing better the folder itself is named.
    """
    tree: _Folder = {}
    tops = top_level((f"/{path}" for path in paths), "")
    for path in paths:
        *above, file = path.split("/")
        folder = tree
        for name in above:
            folder = folder.setdefault(name, {})
        folder[file] = {}
    found: set[str] = set()
    for top in tops:
        inside = tree.get(top, {})
        found.update([] if _regular(inside) else _packages(inside, f"{top}."))
    return tuple(sorted(found | {top for top in tops if not any(one.startswith(f"{top}.") for one in found)}))


def _packages(folder: _Folder, prefix: str) -> Iterator[str]:
    """Yield the packages and extension modules in a folder without `__init__`, and in those below it."""
    for entry, inside in folder.items():
        stem = entry if inside else _stem(entry)
        if not stem.isidentifier():
            continue
        if _regular(inside) or entry.endswith(".so"):
            yield prefix + stem
        else:
            yield from _packages(inside, f"{prefix}{stem}.")


def _regular(folder: _Folder) -> bool:
    """Say whether a folder is a package with an `__init__`."""
    return any(_stem(entry) == "__init__" for entry, inside in folder.items() if not inside)


def _stem(name: str) -> str:
    """Return the name of the module that a file holds, "" where it holds none."""
    match = _MODULE.fullmatch(name)
    if match is None or (name.startswith("lib") and name.endswith(".so")):
        return ""
    return match[1]


def _owners(archive: Archive, start: str, paths: Collection[str]) -> dict[str, str]:
    """Return module -> canonical name of its package, as the RECORDs in a folder say."""
    from packaging.utils import canonicalize_name

    owners: dict[str, str] = {}
    for member in archive.members:
        match = _RECORD.fullmatch(member.name.removeprefix(start)) if member.name.startswith(start) else None
        if match is None:
            continue
        package = canonicalize_name(match[1].partition("-")[0])
        lines = archive.read(member).decode("utf-8", "replace").splitlines()
        recorded = {row[0] for row in csv.reader(lines) if row}
        for name in importable(recorded.intersection(paths)):
            owners[name] = package
    return owners
