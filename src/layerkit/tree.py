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


def tree_of(
    lock: Lock, sizes: Mapping[str, int], origins: Mapping[str, str], package: str | None
) -> dict[str, Any]:
    """Return the tree of a lock, or upside down from `package` to what needs it.

    `sizes` are bytes unzipped, `origins` say where the project asks for a package. Every node has
    `package`, `version`, `unzipped` (null where unknown), `asked_by` (null where only packages ask)
    and `dependencies`.
    """
    from packaging.utils import canonicalize_name

    command = [sys.executable, "-m", "pipdeptree", "from-lock", str(lock.path), "-o", "json-tree"]
    if package is not None:
        package = canonicalize_name(package)
        if lock.package(package) is None:
            raise UsageError(f"{package} is not in the lock", where=str(lock.path))
        command += ["--reverse", "--packages", package]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)  # noqa: S603
    if done.returncode:
        raise StorageError(f"pipdeptree failed: {done.stderr.strip()}", where=str(lock.path))
    versions = {one.name: one.version for one in lock.packages}

    def node(drawn: Mapping[str, Any]) -> dict[str, Any]:
        name = canonicalize_name(drawn["package_name"])
        return {
            "package": name,
            "version": versions.get(name, drawn.get("candidate_version")),
            "unzipped": sizes.get(name),
            "asked_by": origins.get(name),
            "dependencies": [node(child) for child in drawn.get("dependencies", ())],
        }

    return {
        "target": lock.target.key,
        "reverse": package,
        "tree": [node(one) for one in json.loads(done.stdout)],
    }


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
