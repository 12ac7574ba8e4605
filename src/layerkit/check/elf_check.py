"""Would the loader on Lambda map what lies in a stack? Machines, libraries, symbol versions.

The order is the one of ld.so(8): DT_RPATH of a file and of those that loaded it (unless it has a DT_RUNPATH),
LD_LIBRARY_PATH as Lambda sets it, in which the system's folders come before the stack's, DT_RUNPATH. What
is on the managed runtime is a fact or unknown; it is never guessed.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.check.findings import Finding, finding
from layerkit.check.words import count, some
from layerkit.target import facts, on_runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerkit.elf import Elf
    from layerkit.target import Target

# The folders of LD_LIBRARY_PATH that a stack can put files into, in its order.
_LIBRARY_FOLDERS = ("/var/task", "/var/task/lib", "/opt/lib")
_VERSION = re.compile(r"(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)*)")
# Versions without a number stand for the glibc that brought them.
_MARKERS = {"GLIBC_ABI_DT_RELR": "GLIBC_2.36"}
_DEEPEST = 64


class Binary(Struct, frozen=True, kw_only=True):
    """An ELF file of a stack and the zip whose it is."""

    zip: str
    elf: Elf


def check_elves(binaries: Mapping[str, Binary], target: Target) -> Iterator[Finding]:
    """Yield what is wrong with the ELF files of a stack, given by their paths on Lambda."""
    fitting = {path: one for path, one in binaries.items() if one.elf.machine == target.machine}
    yield from _machines(binaries, target)
    yield from _libraries(fitting, target)
    yield from _versions(fitting, target)
    yield from _hardening(fitting)


def _machines(binaries: Mapping[str, Binary], target: Target) -> Iterator[Finding]:
    """Yield what was made for another machine: an error where Python or the loader would take it."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for path, one in binaries.items():
        if one.elf.machine != target.machine:
            stem = posixpath.basename(path).partition(".")[0]
            folder = posixpath.dirname(path)
            taken = stem in one.elf.modules or folder in _LIBRARY_FOLDERS or folder.endswith(".libs")
            groups[("foreign-machine" if taken else "foreign-binary", one.zip, one.elf.machine)].append(path)
    for (code, zip_, machine), paths in sorted(groups.items()):
        many = count(len(paths), "file")
        text = f"{many} for {machine}, and the function runs on {target.machine}: {some(paths)}"
        fix = f"install for the target: wheels tagged {target.machine}"
        yield finding(code, zip_, text, fix)


def _libraries(binaries: Mapping[str, Binary], target: Target) -> Iterator[Finding]:
    """Yield the libraries that are asked for and not found, each with those that ask."""
    resolved = resolve(binaries)
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in binaries:
        by_name[posixpath.basename(path)].append(path)
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for path, one in binaries.items():
        for soname in dict.fromkeys(one.elf.needed):
            if soname in resolved[path] or on_runtime(target, soname):
                continue
            if soname in by_name:
                code = "library-astray"
            else:
                code = "library-missing" if on_runtime(target, soname) is False else "library-unknown"
            groups[code, one.zip, soname].append(path)
    for (code, zip_, soname), paths in sorted(groups.items()):
        yield _library(code, zip_, soname, paths, by_name.get(soname, []), target)


def _library(
    code: str, zip_: str, soname: str, paths: list[str], places: list[str], target: Target
) -> Finding:
    wanted = f"{soname} is needed by {some(paths)}"
    if code == "library-astray":
        text = f"{wanted}; it lies in {some(places)}, where the loader does not look for it"
        fix = "nothing to do if the package loads it by itself first; else put it into lib/ of a layer"
    elif code == "library-missing":
        text = f"{wanted}; neither the stack nor the {target.runtime} runtime has it"
        fix = "take a wheel that brings its own libraries, or put the library into lib/ of a layer"
    else:
        text = f"{wanted}; the stack has none, and whether the {target.runtime} runtime has it is not known"
        fix = "look in the image or on Lambda, or put the library into lib/ of a layer"
    return finding(code, zip_, text, fix)


def resolve(binaries: Mapping[str, Binary]) -> dict[str, dict[str, str]]:
    """Return per file which library of the stack each soname leads to, where one is found.

    A DT_RPATH counts for what is loaded on behalf of the file that has it as well.
    """
    found: dict[str, dict[str, str]] = {path: {} for path in binaries}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(path, ()) for path in binaries]
    while waiting:
        path, inherited = waiting.pop()
        if (path, inherited) in seen:
            continue
        seen.add((path, inherited))
        one = binaries[path].elf
        own = () if one.runpath else tuple(_absolute(one.rpath, path))
        handed_on = tuple(dict.fromkeys((*own, *inherited)))[:_DEEPEST]
        before = () if one.runpath else handed_on
        folders = (*before, *_LIBRARY_FOLDERS, *_absolute(one.runpath, path))
        for soname in one.needed:
            places = (f"{folder}/{soname}" for folder in folders)
            if goal := next((place for place in places if place in binaries), None):
                found[path].setdefault(soname, goal)
                waiting.append((goal, handed_on))
    return found


def _absolute(folders: Iterable[str], path: str) -> Iterator[str]:
    """Yield the folders of an RPATH as the loader sees them."""
    origin = posixpath.dirname(path)
    for folder in folders:
        yield posixpath.normpath(folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))


def _versions(binaries: Mapping[str, Binary], target: Target) -> Iterator[Finding]:
    """Yield what needs newer symbols than the runtime has, but for those of the stack's own libraries."""
    bounds = _bounds(target)
    resolved = resolve(binaries)
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for path, one in binaries.items():
        newest: dict[str, tuple[int, ...]] = {}
        for soname, version in one.elf.versions:
            match = _VERSION.fullmatch(_MARKERS.get(version, version))
            if match and soname not in resolved[path]:
                newest[match[1]] = max(newest.get(match[1], ()), _numbers(match[2]))
        for name, wanted in newest.items():
            if (known := bounds[name]) is not None and wanted > known:
                groups[one.zip, name, ".".join(map(str, wanted))].append(path)
    for (zip_, name, version), paths in sorted(groups.items()):
        most = ".".join(map(str, bounds[name] or ()))
        text = f"{name}_{version} is needed by {some(paths)}, and {target.runtime} has {name} up to {most}"
        fix = f"take wheels for manylinux_{target.glibc[0]}_{target.glibc[1]} or older, or a newer runtime"
        yield finding("symbol-version", zip_, text, fix)


def _bounds(target: Target) -> dict[str, tuple[int, ...] | None]:
    """Return the newest symbol versions of a runtime; None where nobody could say."""
    known = facts()["runtimes"][target.runtime]
    read = {name: known[key] for name, key in (("GLIBCXX", "glibcxx"), ("CXXABI", "cxxabi"))}
    return {"GLIBC": target.glibc} | {name: _numbers(text) if text else None for name, text in read.items()}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _hardening(binaries: Mapping[str, Binary]) -> Iterator[Finding]:
    """Yield what asks for memory that is both written and executed."""
    kinds = (
        ("executable-stack", "executable_stack", "ask for an executable stack", "-z noexecstack"),
        ("text-relocations", "text_relocations", "have relocations in their code", "-fPIC"),
    )
    for code, attribute, what, option in kinds:
        groups: dict[str, list[str]] = defaultdict(list)
        for path, one in binaries.items():
            if getattr(one.elf, attribute):
                groups[one.zip].append(path)
        for zip_, paths in sorted(groups.items()):
            text = f"{count(len(paths), 'file')} that {what}, which newer systems refuse: {some(paths)}"
            yield finding(code, zip_, text, f"build them with {option}, or take a newer version")
