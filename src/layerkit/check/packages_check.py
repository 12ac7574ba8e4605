"""Packages that hide one another: one name in several folders on sys.path.

As PEP 420 has it: the first folder with an `__init__` is the package and all others of that name are hidden,
unless the `__init__` extends its path (pkgutil, pkg_resources); folders without one are merged.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from layerkit.check.findings import Finding, finding
from layerkit.check.words import some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.check.search_path import File, Place

_INITS = ("__init__.py", "__init__.pyc")
_MODULES = (".py", ".so", ".pyc")
_Folder = dict[str, dict[str, "File"]]  # by name: the files below it, by path


def check_hidden(places: Sequence[Place]) -> Iterator[Finding]:
    """Yield the packages of which some modules cannot be imported, for another folder comes first."""
    yield from _hidden([(place.folder, _grouped(place.files)) for place in places], "")


def _grouped(files: Mapping[str, File]) -> _Folder:
    found: _Folder = defaultdict(dict)
    for path, file in files.items():
        top, slash, rest = path.partition("/")
        if slash and top.isidentifier() and top != "__pycache__":
            found[top][rest] = file
    return found


def _hidden(places: Sequence[tuple[str, _Folder]], prefix: str) -> Iterator[Finding]:
    names = [name for _, folders in places for name in folders]
    for name in sorted({one for one in names if names.count(one) > 1}):
        here = [(place, folders[name]) for place, folders in places if name in folders]
        regular = [one for one in here if any(init in one[1] for init in _INITS)]
        if any(_extends(files) for _, files in regular):
            regular = []
        if regular:
            yield from _behind(f"{prefix}{name}", regular[0], [one for one in here if one is not regular[0]])
        else:
            inner = [(place, _grouped(files)) for place, files in here]
            yield from _hidden(inner, f"{prefix}{name}.")


def _extends(files: dict[str, File]) -> bool:
    return any(files[init].extends for init in _INITS if init in files)


def _behind(
    name: str, winner: tuple[str, dict[str, File]], others: list[tuple[str, dict[str, File]]]
) -> Iterator[Finding]:
    for place, files in others:
        lost = sorted(path for path in files if path.endswith(_MODULES) and path not in winner[1])
        lost = [path for path in lost if "__pycache__/" not in path]
        if not lost:
            continue
        zips = sorted({files[path].zip for path in lost})
        text = (
            f"{winner[0]} comes first on sys.path and has {name} with an __init__, so that of"
            f" {place}/{name.replace('.', '/')} cannot be imported: {some(lost)}"
        )
        yield finding(
            "package-hidden", ", ".join(zips), text, f"put all of {name} into one of the two folders"
        )
