"""Clean and zip a folder that pip or anything else has filled: what the shell doors do to folders.

`layerkit build` needs none of this, for it never lays files out. It is for scripts that install into a
folder themselves. A folder may be a layer's root (python/lib/pythonX.Y/site-packages inside it), a
prefix (lib/pythonX.Y/site-packages), or the folder of the packages itself. Only what a distribution
recorded, or a module at the top of such a folder, is ever taken for a package: copies that other
packages carry inside themselves stay.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import shutil
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.archive import Piece, write_zip
from layerkit.errors import StorageError, UsageError
from layerkit.output import draft
from layerkit.project.requirement import canonical
from layerkit.record import encode
from layerkit.target import sdk_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["clean_aws", "clean_metadata", "clean_packages", "renew_records", "zip_folder"]

_PLACES = ("python", "python/lib/python3.*/site-packages", "lib/python3.*/site-packages")
# The names that the SDK's packages are imported by, where those are not the packages' own.
_MODULES = {"python-dateutil": "dateutil"}
# What runtimes up to python3.8 brought for their botocore; later ones have it no more.
_ONLY_IF_UNUSED = frozenset({"docutils"})
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BUILD_TOOLS = frozenset({"pip", "setuptools", "wheel"})
# Of this machine or of the installer; nothing that runs on Lambda reads them.
_DEAD_METADATA = {
    ".dist-info": ("direct_url.json", "REQUESTED", "RECORD.jws", "RECORD.p7s"),
    ".egg-info": ("SOURCES.txt", "dependency_links.txt", "zip-safe", "not-zip-safe", "installed-files.txt"),
}


def clean_aws(top: Path) -> list[str]:
    """Remove the AWS SDK as the runtime brings it, whole; return what was removed, as sentences.

    The sentences name the packages left behind that will find the runtime's copies instead.
    """
    said = []
    for folder in _places(top):
        removed = _remove(top, folder, sdk_set()) + _remove_unused(top, folder, _ONLY_IF_UNUSED)
        for name in sorted(sdk_set()):
            if _remove_module(folder, _MODULES.get(name, name)) and name not in removed:
                removed.append(name)
        if removed:
            said.append(f"removed {', '.join(sorted(removed))} from {folder}")
        said += [
            f"{name} needs {', '.join(sorted(needs & set(removed)))}: it will find the runtime's own"
            for name, needs in sorted(_needs(folder).items())
            if needs & set(removed)
        ]
    renew_records(top)
    return said


def clean_packages(top: Path) -> list[str]:
    """Remove what only installing needs: pip, setuptools and wheel unless asked for, and bytecode.

    Bytecode without its source beside it is a package's code and stays.
    """
    removed = {folder: _remove_unused(top, folder, _BUILD_TOOLS) for folder in _places(top)}
    for cache in sorted(top.rglob("__pycache__")):
        shutil.rmtree(cache)
    for path in sorted((*top.rglob("*.pyc"), *top.rglob("*.pyo"))):
        if path.with_suffix(".py").is_file():
            path.unlink()
    renew_records(top)
    return [f"removed {', '.join(sorted(names))} from {folder}" for folder, names in removed.items() if names]


def clean_metadata(top: Path) -> list[str]:
    """Remove the metadata that nothing on Lambda reads; names, versions, entry points, licences stay."""
    removed = 0
    for folder in _places(top):
        for suffix, names in _DEAD_METADATA.items():
            dead = [path / name for path in folder.glob(f"*{suffix}") for name in names]
            for path in filter(os.path.isfile, dead):
                path.unlink()
                removed += 1
    renew_records(top)
    return [f"removed {removed} files of metadata from {top}"] if removed else []


def zip_folder(top: Path, out: Path) -> str:
    """Write the files under `top` as a layer zip, always the same for the same files; return its sha256.

    Raises UsageError where the folder is not one that Lambda would find anything in.
    """
    if not any((top / name).is_dir() for name in ("python", "bin", "lib", "extensions")):
        fix = "give the folder that holds python/lib/pythonX.Y/site-packages"
        raise UsageError(
            "a layer has python, lib or bin at its top, and this folder has none", where=str(top), fix=fix
        )
    pieces = [
        Piece(
            name=path.relative_to(top).as_posix(), data=path.read_bytes(), executable=os.access(path, os.X_OK)
        )
        for path in _files(top)
        if path != out
    ]
    with draft(out) as path:
        return write_zip(path, pieces).sha256


def renew_records(top: Path, changed: Iterable[Path] = ()) -> None:
    """Bring every RECORD in line with the files: rows of removed ones go, `changed` ones are hashed anew."""
    anew = {os.path.realpath(path) for path in changed}
    for folder in _places(top):
        for record in folder.glob("*.dist-info/RECORD"):
            before = record.read_text(encoding="utf-8")
            rows = [row for row in csv.reader(io.StringIO(before, newline="")) if row]
            after = io.StringIO(newline="")
            csv.writer(after, lineterminator="\n").writerows(_renewed(rows, folder, anew))
            if after.getvalue() != before:
                record.write_text(after.getvalue(), encoding="utf-8", newline="")


def _renewed(rows: list[list[str]], folder: Path, anew: set[str]) -> Iterator[list[str]]:
    """Yield the rows of files that are there."""
    for row in rows:
        path = folder / row[0]
        if os.path.realpath(path) in anew:
            content = path.read_bytes()
            yield [row[0], f"sha256={encode(hashlib.sha256(content).digest())}", str(len(content))]
        elif path.exists():
            yield row


def _places(top: Path) -> list[Path]:
    """Return the folders under `top` that packages lie in. Raises StorageError if there is no `top`."""
    if not top.is_dir():
        raise StorageError("there is no such folder", where=str(top))
    below = [folder for place in _PLACES for folder in sorted(top.glob(place)) if folder.is_dir()]
    return [top, *below]


def _files(top: Path) -> list[Path]:
    """Return the files under `top`; links count as what they point at."""
    return [path for path in sorted(top.rglob("*")) if path.is_file()]


def _distributions(folder: Path) -> dict[str, tuple[Path, Distribution]]:
    """Return the distributions installed in a folder and where their metadata lies, by canonical name."""
    found: dict[str, tuple[Path, Distribution]] = {}
    for path in sorted((*folder.glob("*.dist-info"), *folder.glob("*.egg-info"))):
        one = Distribution.at(path)
        # Of a broken installation only the folder's name is left.
        name = one.metadata["Name"] or path.name.split("-")[0].removesuffix(".egg-info")
        found[canonical(name)] = (path, one)
    return found


def _needs(folder: Path) -> dict[str, set[str]]:
    """Return what each distribution in a folder asks for outside its extras, by canonical name."""
    needs: dict[str, set[str]] = {}
    for name, (_, dist) in _distributions(folder).items():
        plain = (text for text in dist.requires or () if "extra ==" not in text)
        needs[name] = {canonical(match[0]) for match in map(_NAME.match, plain) if match}
    return needs


def _remove_unused(top: Path, folder: Path, names: frozenset[str]) -> list[str]:
    """Remove those of the distributions that nothing but themselves asks for."""
    asked = {need for name, needs in _needs(folder).items() if name not in names for need in needs}
    return _remove(top, folder, names - asked)


def _remove(top: Path, folder: Path, names: frozenset[str]) -> list[str]:
    """Remove the distributions of these names with all the files they recorded; return which there were."""
    removed = []
    for name, (metadata, dist) in _distributions(folder).items():
        if name in names:
            for file in dist.files or ():
                _unlink(top, Path(os.path.normpath(folder / str(file))))
            if metadata.is_dir():
                shutil.rmtree(metadata)
            metadata.unlink(missing_ok=True)
            removed.append(name)
    return removed


def _unlink(top: Path, path: Path) -> None:
    """Remove a recorded file, never one outside `top`, and the folders that it leaves empty."""
    if not path.is_relative_to(top):
        return
    if path.is_symlink() or path.is_file():
        path.unlink()
    parent = path.parent
    while parent != top and parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()
        parent = parent.parent


def _remove_module(folder: Path, name: str) -> bool:
    """Remove a module that no metadata told of: the package or the single file of that very name."""
    package, module = folder / name, folder / f"{name}.py"
    found = (package / "__init__.py").is_file() or module.is_file()
    if (package / "__init__.py").is_file():
        shutil.rmtree(package)
    module.unlink(missing_ok=True)
    return found
