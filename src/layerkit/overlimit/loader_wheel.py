"""The loader as a wheel: made here, and from then on a package like any other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from layerkit import __version__, record
from layerkit.archive import Piece, write_zip
from layerkit.lock import LockedPackage, WheelRef
from layerkit.metadata import Dependency
from layerkit.overlimit import places

if TYPE_CHECKING:
    from layerkit.project import OverLimit
    from layerkit.store import Store
    from layerkit.target import Layout, Target

NAME = "layerkit-loader"
_STEM = f"layerkit_loader-{__version__}"
_LOADER = Path(__file__).with_name("layerkit_loader")
_WHEEL = "Wheel-Version: 1.0\nGenerator: layerkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_START = """\
#!/bin/sh
# AWS_LAMBDA_EXEC_WRAPPER=/opt/bin/layerkit-start, for functions that set PYTHONPATH: unpacks what did
# not fit into the layers, and becomes the runtime. The command of that is all of the arguments.
site="${{0%/bin/layerkit-start}}/{site}"
exec "$1" -I -c 'import sys; sys.path.insert(0, sys.argv[1])
import layerkit_loader; layerkit_loader.main(sys.argv[2:])' "$site" "$@"
"""


def loader(
    over_limit: OverLimit, decoder: str | None, target: Target, layout: Layout, store: Store
) -> LockedPackage:
    """Return the package of the loader for a target, its wheel in the store.

    `decoder` is the package that it needs to inflate frames, None where Python can.
    """
    files = _sources() | _entries(over_limit, target.site_packages(layout))
    requires = (Dependency(name=decoder),) if decoder else ()
    files |= _about(requires)
    files[f"{_STEM}.dist-info/RECORD"] = record.write(
        {name: (hashlib.sha256(data).digest(), len(data)) for name, data in files.items()},
        f"{_STEM}.dist-info/RECORD",
    )
    return LockedPackage(name=NAME, version=__version__, wheel=_stored(files, store), requires=requires)


def _sources() -> dict[str, bytes]:
    """Return the modules of the loader."""
    return {f"{_LOADER.name}/{path.name}": path.read_bytes() for path in sorted(_LOADER.glob("*.py"))}


def _entries(over_limit: OverLimit, site: str) -> dict[str, bytes]:
    """Return what starts the loader."""
    if over_limit.mode == "nested-zip":
        return {"unzip_requirements.py": b"import layerkit_loader\n\nlayerkit_loader.unzip()\n"}
    settings = {"lazy": over_limit.lazy, "remote": over_limit.remote or ""}
    return {
        "layerkit_loader.pth": b"import layerkit_loader\n",
        f"{_STEM}.data/data/bin/layerkit-start": _START.format(site=site).encode(),
        f"{places.FOLDER}/settings.json": json.dumps(settings, sort_keys=True).encode(),
    }


def _about(requires: tuple[Dependency, ...]) -> dict[str, bytes]:
    """Return what a wheel says of itself."""
    lines = ["Metadata-Version: 2.4", f"Name: {NAME}", f"Version: {__version__}"]
    lines += ["Summary: Unpacks what did not fit into a function's layers.", "License-Expression: Apache-2.0"]
    lines += [f"Requires-Dist: {one.name}" for one in requires]
    return {
        f"{_STEM}.dist-info/METADATA": ("\n".join(lines) + "\n").encode(),
        f"{_STEM}.dist-info/WHEEL": _WHEEL.encode(),
    }


def _stored(files: dict[str, bytes], store: Store) -> WheelRef:
    """Put the wheel of these files into the store."""
    pieces = [
        Piece(name=name, data=data, executable=name.endswith("/layerkit-start"))
        for name, data in files.items()
    ]
    filename = f"{_STEM}-py3-none-any.whl"
    with TemporaryDirectory(prefix="layerkit-") as folder:
        path = Path(folder, filename)
        made = write_zip(path, pieces)
        if store.find("wheels", made.sha256, ".whl", size=made.size) is None:
            with store.publish("wheels", made.sha256, ".whl") as kept:
                kept.write_bytes(path.read_bytes())
    return WheelRef(filename=filename, sha256=made.sha256, size=made.size)
