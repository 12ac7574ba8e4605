"""What needs what: trees that pipdeptree draws from the lock, with the size of each package."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from layerkit.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.tree import Tree

    from layerkit.lock import Lock


# Without the user's folder on sys.path, where `-m` would put it: its modules are not pipdeptree's.
_PIPDEPTREE = """
import sys
sys.path[:] = filter(None, sys.path)
from pipdeptree.__main__ import main
sys.exit(main())
"""


def tree_of(
    lock: Lock, sizes: Mapping[str, int], origins: Mapping[str, str], package: str | None
) -> dict[str, Any]:
    """Return the tree of a lock, or upside down from `package` to what needs it.

    `sizes` are bytes unzipped, `origins` say where the project asks for a package. Every node has
    `package`, `version`, `unzipped` (null where unknown), `asked_by` (null where only packages ask)
    and `dependencies`.
    """
    from packaging.utils import canonicalize_name

    if package is None:
        drawn = _whole(lock, origins)
    else:
        package = canonicalize_name(package)
        if lock.package(package) is None:
            raise UsageError(f"{package} is not in the lock", where=str(lock.path))
        drawn = _from(package, lock, "--reverse")
    versions = {one.name: one.version for one in lock.packages}
    under = _under(drawn)

    def node(name: str, above: frozenset[str]) -> dict[str, Any]:
        above |= {name}
        return {
            "package": name,
            "version": versions.get(name),
            "unzipped": sizes.get(name),
            "asked_by": origins.get(name),
            "dependencies": [node(child, above) for child in under.get(name, ()) if child not in above],
        }

    return {
        "target": lock.target.key,
        "reverse": package,
        "tree": [node(str(one["key"]), frozenset()) for one in drawn],
    }


def _under(trees: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the names below each package: pipdeptree draws them once, or every time, as its version goes."""
    found: dict[str, list[str]] = {}
    for one in trees:
        inner = _under(one["dependencies"])
        own = {str(one["key"]): [str(child["key"]) for child in one["dependencies"]]}
        for name, children in (*inner.items(), *own.items()):
            if len(children) > len(found.get(name, ())):
                found[name] = children
    return found


def _whole(lock: Lock, origins: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return trees in which every package of the lock stands at least once.

    pipdeptree begins with the packages that no other one needs, and so passes over those that need
    each other in a circle, or begins with every package where there are only such: of each circle, the
    package that the project asks for is the beginning, or the first.
    """
    drawn = _pipdeptree(lock)
    needed = set().union(*(_names(one["dependencies"]) for one in drawn))
    trees = [one for one in drawn if one["key"] not in needed]
    while missing := [one.name for one in lock.packages if one.name not in _names(trees)]:
        first = next((name for name in missing if name in origins), missing[0])
        trees += _from(first, lock)
    return sorted(trees, key=lambda one: str(one["key"]))


def _from(package: str, lock: Lock, *more: str) -> list[dict[str, Any]]:
    """Return the tree that begins with one package; those of others in a circle with it are not asked for."""
    trees = [one for one in _pipdeptree(lock, *more, "--packages", package) if one["key"] == package]
    if not trees:
        raise StorageError(f"pipdeptree does not know {package}", where=str(lock.path))
    return trees


def _pipdeptree(lock: Lock, *more: str) -> list[dict[str, Any]]:
    """Return what pipdeptree draws of a lock, as it prints it."""
    command = [sys.executable, "-c", _PIPDEPTREE, "from-lock", str(lock.path), "-o", "json-tree", *more]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)  # noqa: S603
    if done.returncode:
        raise StorageError(f"pipdeptree failed: {done.stderr.strip()}", where=str(lock.path))
    trees: list[dict[str, Any]] = json.loads(done.stdout)
    return trees


def _names(trees: list[dict[str, Any]]) -> set[str]:
    """Return the names that stand in trees, at any depth."""
    return {str(one["key"]) for one in trees}.union(*(_names(one["dependencies"]) for one in trees))


def draw(tree: Mapping[str, Any], depth: int | None) -> None:
    """Draw a tree on stdout, down to so many levels."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from layerkit.report import human

    def label(node: Mapping[str, Any]) -> Text:
        text = Text(f"{node['package']} {node['version']}")
        if node["unzipped"] is not None:
            text.append(f"  {human(node['unzipped'])}", style="cyan")
        if node["asked_by"]:
            text.append(f"  ({node['asked_by']})", style="dim")
        return text

    def hang(nodes: list[Mapping[str, Any]], branch: Tree, level: int) -> None:
        for node in nodes:
            twig = branch.add(label(node))
            if depth is None or level < depth:
                hang(node["dependencies"], twig, level + 1)

    top = Tree(Text(tree["target"]))
    hang(tree["tree"], top, 0)
    Console(width=None if sys.stdout.isatty() else 160).print(top)


def wheel_size(path: Path) -> int:
    """Return the bytes of all files in a wheel, unzipped."""
    from layerkit.archive import Archive

    with Archive.open(path) as archive:
        return sum(member.size for member in archive.members)
