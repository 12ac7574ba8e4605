"""Packages that are unpacked when they are first imported."""

from __future__ import annotations

import os
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .tree import Tree, Unit


class Finder:
    """Has packages unpacked when they are asked for; finds nothing itself."""

    def __init__(self, tree: Tree, units: Iterable[Unit]) -> None:
        """Wait for the modules of these packages."""
        self._tree = tree
        self._waiting: dict[str, list[Unit]] = {}
        for unit in units:
            for module in unit.modules:
                self._waiting.setdefault(module, []).append(unit)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Have the module's package unpacked before the finders that follow look for it."""
        units = self._waiting.get(name)
        if units:
            self._tree.unpack(units)
            self._waiting.pop(name, None)


def make_shared_folders(tree: Tree) -> None:
    """Make the folders of namespace packages, so that these know them from their first import on."""
    with suppress(OSError):  # unpacking will say it
        for module in {module for unit in tree.units for module in unit.modules if "." in module}:
            os.makedirs(os.path.join(tree.site, *module.split(".")[:-1]), exist_ok=True)
