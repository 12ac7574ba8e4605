"""How long a function's first imports take from a layer that nobody has read yet.

Each layer is unpacked, all pages of files are dropped from memory, the interpreter alone is started once,
and then an import is timed as a whole process with `-B`: nothing is written, as on Lambda. Dropping
pages needs root; without it there are no figures, and the report says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping

IMPORTS = {
    "data": "import pandas, sklearn.linear_model",
    "web": "import fastapi, httpx, mangum",
    "sdk": "import boto3, requests, cryptography.fernet, aws_lambda_powertools",
}
_DROP = Path("/proc/sys/vm/drop_caches")


def possible() -> bool:
    """Say whether this user may drop what the system keeps of files."""
    return _DROP.exists() and os.access(_DROP, os.W_OK)


def unpack(cwd: Path, product: str, folder: Path) -> Path:
    """Unpack the zips that match the glob, and return the folder that Lambda would put on sys.path."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(cwd.glob(product)):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    versioned = sorted((folder / "python" / "lib").glob("python*/site-packages"))
    return versioned[0] if versioned else folder / "python"


def measure(name: str, layers: Mapping[str, Path], python: str, runs: int) -> dict[str, list[Sample]]:
    """Return the samples of each layer's imports by its row; the layers take turns."""
    found: dict[str, list[Sample]] = {row: [] for row in layers}
    for _ in range(runs):
        for row, path in layers.items():
            found[row].append(Sample(seconds=_import(IMPORTS[name], path, python), rss=0))
    return found


def _import(statement: str, path: Path, python: str) -> float:
    """Return the seconds of one process that imports, and nothing else, from cold files."""
    os.sync()
    _DROP.write_text("3")
    subprocess.run([python, "-I", "-B", "-c", "import json, email, http.client, logging, typing"], check=True)
    code = f"import sys; sys.path.insert(0, {str(path)!r}); {statement}"
    begun = time.perf_counter()
    subprocess.run([python, "-I", "-B", "-c", code], check=True)
    return time.perf_counter() - begun
