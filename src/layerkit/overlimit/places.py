"""Where things of a package lie: what may go into frames, which folders are mirrored, what it is imported as.

Pure: names in, names out, all relative to the folder of the modules (`site`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FOLDER = "layerkit_frames"
_LIBRARY = re.compile(r".+\.so(\.\d+)*")
_CODE = (".py", ".pyc", ".so")


def may_move(name: str) -> bool:
    """Say whether a file may lie in /tmp: not what Python looks for without importing anything."""
    top = name.partition("/")[0]
    return not top.endswith((".dist-info", ".pth", ".egg-info"))


def is_library(name: str) -> bool:
    """Say whether a file is a shared library, by its name."""
    return _LIBRARY.fullmatch(name) is not None


def mirrored(names: Iterable[str], moved: Collection[str]) -> list[str]:
    """Return the folders that are made anew in /tmp, each after those that it lies in.

    Those are the folders of moved files, and every folder with a shared library: its `$ORIGIN` has to
    be a folder of the mirror, or it would not find what was moved.
    """
    found: set[str] = set()
    for name in names:
        if name in moved or is_library(name):
            folder = name.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
    return sorted(found)


def links(names: Iterable[str], moved: Collection[str], folders: Collection[str]) -> int:
    """Return how many links a mirror of these folders has to what was not moved."""
    found = set()
    for name in names:
        if name not in moved:
            parts = name.split("/")
            inside = [count for count in range(1, len(parts)) if "/".join(parts[:count]) in folders]
            if inside:
                found.add("/".join(parts[: inside[-1] + 1]))
    return len(found)


def importable(names: Iterable[str]) -> list[str]:
    """Return the dotted names by which the files are first imported: top-level modules and packages.

    Of a namespace package, which other wheels may share, it is the packages inside it.
    """
    every = [name for name in names if name.endswith(_CODE) and "/__pycache__/" not in name]
    packages = {name.rpartition("/")[0] for name in every if _stem(name) == "__init__"}
    found = set()
    for name in every:
        parts = name.split("/")
        folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
        first = next((folder for folder in folders if folder in packages), None)
        parts = first.split("/") if first else [*parts[:-1], _stem(name)]
        if all(part.isidentifier() for part in parts):
            found.add(".".join(parts))
    return sorted(found)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]
