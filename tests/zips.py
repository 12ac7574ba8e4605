"""Finished zips made to order, as tools of all kinds make them, and unzipped as Lambda does."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


SITE = "python/lib/python3.12/site-packages"


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a zip of `files` as Python's own zipfile does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    return path


def unzip(path: Path, folder: Path) -> None:
    """Unzip a layer, modes included."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            os.chmod(archive.extract(info, folder), info.external_attr >> 16 & 0o777)  # noqa: PTH101


def metadata(text: str, *requires: str, extras: Sequence[str] = ()) -> str:
    """Return METADATA of `name 1.2` with its Requires-Dist lines."""
    name, _, version = text.partition(" ")
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    return "\n".join([*lines, *(f"Requires-Dist: {need}" for need in requires), "", "what it is about", ""])


def installed_files(text: str, *requires: str, below: str = SITE) -> dict[str, str]:
    """Return the files that `name 1.2` has below a folder: one module, and METADATA."""
    name, _, version = text.partition(" ")
    module = name.lower().replace("-", "_")
    prefix = f"{below}/" if below else ""
    return {
        f"{prefix}{module}/__init__.py": f"version = {version!r}\n",
        f"{prefix}{module}-{version}.dist-info/METADATA": metadata(text, *requires),
    }
