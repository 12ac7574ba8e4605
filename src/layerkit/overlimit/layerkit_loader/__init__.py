"""Unpacks into /tmp what did not fit into a function's layers. Runs on Lambda, from Python 3.7 on.

Beside this package, `layerkit_frames` holds one index (JSON) per package and a file with its frames:
independently compressed stretches of the package's large files, one behind the other. Importing this
package inflates them, in parallel, into `<tmp>/layerkit-<key>/site`, and puts that first on sys.path.

Ways in: `layerkit_loader.pth`, which the runtime executes; `import layerkit_loader` where PYTHONPATH was
replaced; bin/layerkit-start as AWS_LAMBDA_EXEC_WRAPPER. In the environment, LAYERKIT_LAZY=1 unpacks a
package at its first import (0: all at the start), LAYERKIT_TMP is a folder instead of /tmp,
LAYERKIT_REMOTE an address instead of the configured one, LAYERKIT_TRACE=1 says on stderr what was done.
"""

from __future__ import annotations

import json
import os
import sys

from .errors import BundleError
from .files import names, say
from .finder import Finder, make_shared_folders
from .frames import Frames
from .tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .tree import Unit

SITE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FRAMES = "layerkit_frames"
SETTINGS = "settings.json"
NESTED = ".requirements.zip"


def start() -> Tree | None:
    """Make the bundle beside this package importable: now, or package by package. None if there is none.

    A failure is said on stderr, and raised where a package of the bundle is imported: out of a .pth
    file no exception gets far.
    """
    folder = os.path.join(SITE, FRAMES)
    indexes = [name for name in names(folder) if name.endswith(".json") and name != SETTINGS]
    if not indexes:
        return None
    settings = _settings(os.path.join(folder, SETTINGS))
    units = [Frames(folder, name, settings["remote"]) for name in indexes]
    tree = Tree(SITE, units, _tmp())
    try:
        tree.open()
        if settings["lazy"]:
            make_shared_folders(tree)
        else:
            tree.unpack(units)
    except BundleError as error:
        say(str(error))
    waiting = tree.missing(units)
    if waiting:
        sys.meta_path.insert(0, Finder(tree, waiting))
    return tree


def unzip() -> Tree | None:
    """Unpack the zips in the layers and in the function's code: what `import unzip_requirements` does."""
    from .zipped import Zipped

    code = os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
    folders = dict.fromkeys((os.path.join(SITE, FRAMES), SITE, "/opt", code))
    found = [os.path.join(folder, name) for folder in folders for name in names(folder)]
    units: Sequence[Unit] = [Zipped(path) for path in found if path.endswith(NESTED)]
    if not units:
        return None
    tree = Tree(SITE, units, _tmp())
    tree.unpack(units)
    return tree


def main(command: Sequence[str]) -> None:
    """Unpack all, then become the runtime, whose command this is: the wrapper script calls it.

    PYTHONPATH is made to hold what the runtime puts on sys.path where nobody sets it.
    """
    if bundle:
        try:
            bundle.unpack(bundle.units)
        except BundleError:
            sys.exit(1)  # it was said why
        minor = "python{}.{}".format(*sys.version_info)
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [bundle.site, SITE, f"/opt/python/lib/{minor}/site-packages", "/opt/python", *given]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, dict.fromkeys(paths)))
    os.execv(command[0], list(command))  # noqa: S606 - the runtime, by its own command


def _settings(path: str) -> dict[str, Any]:
    """Return what the project says, and above it what the function's environment says."""
    settings: dict[str, Any] = {"lazy": False, "remote": ""}
    if os.path.exists(path):
        with open(path, "rb") as file:
            settings.update(json.load(file))
    lazy, remote = os.environ.get("LAYERKIT_LAZY"), os.environ.get("LAYERKIT_REMOTE")
    if lazy:
        settings["lazy"] = lazy != "0"
    if remote:
        settings["remote"] = remote
    return settings


def _tmp() -> str:
    return os.environ.get("LAYERKIT_TMP") or "/tmp"  # noqa: S108 - the only folder that Lambda lets a function write to


bundle = start()
