"""Local wheels and folders: how they are named, what package they hold, and a digest of their content."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.errors import ConfigError
from layerkit.project.requirement import Requirement, canonical, direct, local, path_of, split_marker
from layerkit.project.text_files import decode, read_bytes, read_toml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["file_digest", "folder_digest", "is_buildable", "name_of", "nameless"]

_PATH_EXTRAS = re.compile(r"(?P<path>.+?)\[(?P<extras>[\w.,\s-]*)\]")
_ARCHIVES = (".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz", ".tar", ".egg")
# What no backend puts into a wheel, at any depth; and what builds leave at the top, where a package
# of the same name further down (`mylib/build/`) is the user's own code.
_CACHES = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".eggs"})
_LEFT_OUT = _CACHES | {".git", ".hg", ".svn", ".layerkit", ".venv", "venv", ".tox", ".nox", "node_modules"}
_LEFT_OUT_AT_TOP = frozenset(["dist", "build"])
_LEFT_OUT_ENDINGS = (".egg-info", ".pyc")


def is_buildable(folder: Path) -> bool:
    """Say whether a build backend can be asked for this folder's wheel."""
    return any((folder / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg"))


def name_of(path: Path, origin: str) -> str:
    """Return the name of the package in a wheel or folder, as its own files write it.

    Nothing is run for it: a folder whose name only its setup.py's code knows is a ConfigError.
    """
    if path.is_file():
        return path.name.split("-")[0]
    name = _declared_name(path)
    if name is None:
        raise ConfigError(
            f"the folder {path} does not say which package it holds",
            where=origin,
            fix=f"write the name in front: NAME @ {path.as_uri()}",
        )
    return name


def _declared_name(folder: Path) -> str | None:
    """Return the name in pyproject.toml, setup.cfg or a literal in setup.py."""
    if (file := folder / "pyproject.toml").is_file():
        tables = read_toml(file)
        for table in (tables.get("project"), tables.get("tool", {}).get("poetry")):
            if isinstance(table, dict) and isinstance(table.get("name"), str):
                return str(table["name"])
    if (file := folder / "setup.cfg").is_file():
        import configparser

        parser = configparser.RawConfigParser()
        try:
            parser.read_string(decode(read_bytes(file), str(file)))
        except configparser.Error as error:
            raise ConfigError(f"the file cannot be read: {error.message}", where=str(file)) from None
        if name := parser.get("metadata", "name", fallback=None):
            return name
    if (file := folder / "setup.py").is_file():
        return _literal_name(file)
    return None


def _literal_name(file: Path) -> str | None:
    """Return what stands behind `name=` in the call of setup(), where that is a plain string."""
    import ast

    try:
        tree = ast.parse(read_bytes(file))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for keyword in node.keywords:
            if called == "setup" and keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    return None


def file_digest(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def folder_digest(folder: Path, left_out: Collection[Path] = ()) -> str:
    """Return a sha256 over the names and contents of all that can go into the folder's wheel.

    Left out are version control, caches, environments and what builds leave behind. A link
    counts as the text it points to, so that no loop and nothing outside is followed. `left_out`
    are absolute paths below it that do not count either, such as where layerkit itself writes.
    """
    total = hashlib.sha256()
    for name, path in sorted(_files(str(folder), "", frozenset(map(str, left_out)))):
        total.update(name.encode("utf-8", "surrogateescape") + b"\0")
        if path.is_symlink():
            total.update(b"link " + os.fsencode(path.readlink()) + b"\0")
        else:
            total.update(hashlib.sha256(read_bytes(path)).digest())
    return total.hexdigest()


def _files(folder: str, prefix: str, left_out: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """Yield (path relative to the top, with slashes; path) of every file and link below."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in _LEFT_OUT or entry.name.endswith(_LEFT_OUT_ENDINGS):
                continue
            if (not prefix and entry.name in _LEFT_OUT_AT_TOP) or entry.path in left_out:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{prefix}{entry.name}/", left_out)
            elif entry.is_symlink() or entry.is_file():
                yield prefix + entry.name, Path(entry.path)


def nameless(
    text: str, where: str, folders: tuple[Path, ...], hashes: tuple[str, ...] = ()
) -> Requirement | None:
    """Read a requirement that is a path or an address without a name in front; None for others.

    A path is looked for in each of the folders, in order.
    """
    address, marker = split_marker(text)
    if "://" in address.split("@")[0] or address.startswith("file:"):
        return _address(address, marker, where, folders[0], hashes)
    found = _PATH_EXTRAS.fullmatch(address)
    plain = found["path"] if found else address
    looks_so = plain.startswith((".", "/", "~")) or os.sep in plain.split("@")[0].split(";")[0]
    if not looks_so and not (plain.lower().endswith(_ARCHIVES) and "@" not in plain):
        return None
    path = _existing(plain, where, folders)
    extras = tuple(canonical(name.strip()) for name in found["extras"].split(",")) if found else ()
    name = path.name.split("-")[0] if path.is_file() else name_of(path, where)
    return local(name, path, where, extras=extras, marker=marker, hashes=hashes)


def _address(
    address: str, marker: str | None, where: str, base: Path, hashes: tuple[str, ...]
) -> Requirement:
    """Read an address without a name in front of it."""
    from urllib.parse import unquote, urlsplit

    fragment = urlsplit(address).fragment
    egg = re.search(r"(?:^|&)egg=([\w.-]+)", fragment)
    last = unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2]
    if address.startswith("file:"):
        path = path_of(address, base)
        name = egg[1] if egg else name_of(path, where) if path.exists() else last
        return local(name, path, where, marker=marker, hashes=hashes)
    return direct(last.split("-")[0], address, where, base, marker=marker, hashes=hashes)


def _existing(text: str, where: str, folders: tuple[Path, ...]) -> Path:
    """Return the first of the places that holds a wheel or a folder that can be built."""
    given = str(Path(text).expanduser()) if text.startswith("~/") else text
    places = list(dict.fromkeys(path_of(given, folder) for folder in folders))
    for place in places:
        if place.is_file() or is_buildable(place):
            return place
    tried = " nor ".join(str(place) for place in places)
    if any(place.is_dir() for place in places):
        raise ConfigError(
            f"there is no pyproject.toml, setup.py or setup.cfg in {tried}",
            where=where,
            fix="name a folder that holds a package",
        )
    raise ConfigError(f"there is no wheel or folder {tried}", where=where)
