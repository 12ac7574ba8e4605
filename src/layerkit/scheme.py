"""Where each file of a wheel lands: the install scheme, and what may not land at all.

The prefix is Lambda's /opt. Modules go to the folder that Lambda puts on sys.path, commands to bin
(on PATH), data to the layer's root, so that its lib is /opt/lib (on LD_LIBRARY_PATH) and its share
is /opt/share. Paths are those inside the layer, without a slash in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import Problem, fold
from layerkit.scripts import is_wrapper

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from layerkit.archive import Member
    from layerkit.target import Layout, Target

# What an installer writes about its own doing; a wheel that brings them is not believed.
_OF_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD.jws", "RECORD.p7s")


class Folders(Struct, frozen=True, kw_only=True):
    """The folders behind the keys of a scheme; an empty one is the root of the layer."""

    site: str
    scripts: str
    data: str
    headers: str

    def of(self, key: str) -> str | None:
        """Return the folder of a key under `.data/`, or None if there is no such key."""
        known = {
            "purelib": self.site,
            "platlib": self.site,
            "scripts": self.scripts,
            "data": self.data,
            "headers": self.headers,
        }
        return known.get(key)


# The keys standing for themselves: shows what clashes on every target.
ANYWHERE = Folders(site="purelib", scripts="scripts", data="data", headers="headers")


class Landing(Struct, frozen=True, kw_only=True):
    """A member and its path in the layer; `script` tells that it came from `.data/scripts`."""

    member: Member
    path: str
    script: bool = False


def folders(target: Target, layout: Layout, name: str) -> Folders:
    """Return the folders in a layer for the wheel called `name`."""
    return Folders(
        site=target.site_packages(layout),
        scripts="bin",
        data="",
        headers=f"include/{target.runtime}/{name}",
    )


def land(
    members: Iterable[Member], data: str | None, where: Folders
) -> tuple[tuple[Landing, ...], tuple[Problem, ...]]:
    """Return where the members land, and a problem for each that has nowhere to go.

    `data` is the name of the wheel's `.data` folder, None if it has none.
    """
    landings: list[Landing] = []
    problems: list[Problem] = []
    for member in members:
        if data is None or not member.name.startswith(f"{data}/"):
            landings.append(Landing(member=member, path=_join(where.site, member.name)))
            continue
        key, slash, rest = member.name[len(data) + 1 :].partition("/")
        folder = where.of(key)
        if folder is None or not slash:
            text = f"lies in {data}/{key}, which no installer knows"
            problems.append(Problem(case="data-unknown", text=text, member=member.name))
            continue
        landings.append(Landing(member=member, path=_join(folder, rest), script=key == "scripts"))
    return tuple(landings), tuple(problems)


def without_wrappers(
    landings: Iterable[Landing], commands: Collection[str]
) -> tuple[tuple[Landing, ...], tuple[Landing, ...]]:
    """Part what stays from the scripts in whose place a command's launcher is written."""
    names = frozenset(commands)
    kept: list[Landing] = []
    replaced: list[Landing] = []
    for landing in landings:
        wrapper = landing.script and is_wrapper(landing.path.rpartition("/")[2], names)
        (replaced if wrapper else kept).append(landing)
    return tuple(kept), tuple(replaced)


def clashes(landings: Sequence[Landing], written: Iterable[str] = ()) -> Iterator[Problem]:
    """Yield a problem for each file that lands on another one, or where another one needs a folder.

    `written` are paths that layerkit writes itself. Paths that differ only in case or Unicode form
    are one path on some file systems, and count as such.
    """
    places = [(fold(landing.path), landing.member.name) for landing in landings]
    places += [(fold(path), path) for path in written]
    files: dict[str, str] = {}
    folders_needed: dict[str, str] = {}
    for path, origin in places:
        if path in files:
            text = f"lands where {files[path]} lands"
            yield Problem(case="data-collision", text=text, member=origin)
        files.setdefault(path, origin)
        folder = path.rpartition("/")[0]
        while folder and folder not in folders_needed:
            folders_needed[folder] = origin
            folder = folder.rpartition("/")[0]
    for path in sorted(files.keys() & folders_needed.keys()):
        text = f"lands where {folders_needed[path]} needs a folder"
        yield Problem(case="data-collision", text=text, member=files[path])


def foreign_dist_infos(landings: Iterable[Landing], site: str, own: str) -> Iterator[Problem]:
    """Yield a problem for each member that lands in another distribution's .dist-info folder."""
    for landing in landings:
        top, slash, _ = landing.path.removeprefix(f"{site}/").partition("/")
        if slash and landing.path.startswith(f"{site}/") and top.endswith(".dist-info") and top != own:
            text = f"would be installed as part of {top}"
            yield Problem(case="two-dist-infos", text=text, member=landing.member.name)


def reason_to_drop(path: str, site: str, dist_info: str) -> str | None:
    """Return why a file is never part of a layer, or None: the key of the count in the report."""
    folder, _, name = path.rpartition("/")
    if folder.rpartition("/")[2] == "__pycache__" and name.endswith((".pyc", ".pyo")):
        return "shipped-bytecode"
    if folder == f"{site}/{dist_info}" and name in _OF_INSTALLERS:
        return "installer-records"
    return None


def modules(paths: Iterable[str], site: str) -> tuple[str, ...]:
    """Return the top-level names that can be imported from the files in `site`, sorted.

    A folder counts if any Python source, bytecode or extension module lies in it at any depth, so
    namespace packages count too.
    """
    found: set[str] = set()
    for path in paths:
        if not path.startswith(f"{site}/") or not path.endswith((".py", ".so", ".pyc")):
            continue
        top, slash, _ = path[len(site) + 1 :].partition("/")
        name = top if slash else top.partition(".")[0]
        shared_library = not slash and top.endswith(".so") and top.startswith("lib")
        if name.isidentifier() and name not in {"__init__", "__pycache__"} and not shared_library:
            found.add(name)
    return tuple(sorted(found))


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path
