"""Where a function finds modules: the folders of a stack on sys.path, in order, and what lies in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerkit.archive import Member
    from layerkit.target import Target


class File(Struct, frozen=True, kw_only=True):
    """A file of a stack: the zip that its content is of, its member there, whether that is the code's."""

    zip: str
    member: Member
    extends: bool = False


class Place(Struct, frozen=True, kw_only=True):
    """A folder on sys.path as Lambda has it, and its files by their paths below it."""

    folder: str
    files: Mapping[str, File]


def places(files: Mapping[str, File], target: Target) -> tuple[Place, ...]:
    """Return the folders of a stack that are on sys.path, the first first; `files` are by path on Lambda."""
    folders = ["/var/task/", *(f"/opt/{target.site_packages(one)}/" for one in ("versioned", "flat"))]
    found = []
    for folder in folders:
        below = {path[len(folder) :]: file for path, file in files.items() if path.startswith(folder)}
        if folder == "/opt/python/":
            below = {path: file for path, file in below.items() if not path.startswith("lib/python")}
        found.append(Place(folder=folder.rstrip("/"), files=below))
    return tuple(found)


def folders(paths: Iterable[str]) -> frozenset[str]:
    """Return all folders, at any depth, that hold one of the paths."""
    found: set[str] = set()
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return frozenset(found)
