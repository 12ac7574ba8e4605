"""Digests of all that decides a resolution, by which a lock knows whether it is current."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from layerkit.project.faults import redact
from layerkit.project.local_paths import file_digest, folder_digest
from layerkit.project.text_files import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from layerkit.project.requirement import Requirement

__all__ = ["digests", "input_name"]


def digests(
    paths: Iterable[Path],
    root: Path,
    written: Collection[Path],
    from_environment: Collection[Requirement] = (),
) -> tuple[tuple[str, str], ...]:
    """Return (path relative to root with slashes, sha256 in hex) of each file and folder, by path.

    A folder's path ends in a slash, and `written`, where layerkit itself writes, does not count in
    its digest. Requirements that hold values of the environment count by their text, without any
    credentials, since the file that they stand in does not change with those values.
    """
    found = {
        input_name(path, root): folder_digest(path, written) if path.is_dir() else file_digest(path)
        for path in paths
    }
    if from_environment:
        texts = "\n".join(redact(requirement.text) for requirement in from_environment)
        found["${}"] = hashlib.sha256(texts.encode()).hexdigest()
    return tuple(sorted(found.items()))


def input_name(path: Path, root: Path) -> str:
    """Return the name of a file or folder among the inputs."""
    return shown(path, root) + ("/" if path.is_dir() else "")
