"""A PEP 751 lock that is given as the project itself: all it installs by default is asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError
from layerkit.project.declared import Declared, Entry
from layerkit.project.pins import environment_only
from layerkit.project.requirement import (
    SOURCE_FIX,
    VCS_FIX,
    Requirement,
    canonical,
    direct,
    local,
    parse,
    resolved,
)
from layerkit.project.tables import optional_text, table
from layerkit.project.text_files import read_toml, shown

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.project.faults import Faults

__all__ = ["declared"]


def declared(file: Path, root: Path, faults: Faults) -> Declared:
    """Return the packages of a lock at their versions; extras stay out, default groups come in."""
    where = shown(file, root)
    lock = read_toml(file, where)
    packages = lock.get("packages")
    if not isinstance(packages, list) or "lock-version" not in lock:
        raise ConfigError("this is no lock as PEP 751 has them", where=where)
    groups = lock.get("default-groups", [])
    chosen = [str(name) for name in groups] if isinstance(groups, list) else []
    entries: list[Entry] = []
    for index, package in enumerate(packages):
        origin = f"{where}: packages[{index}]"
        name = package.get("name") if isinstance(package, dict) else None
        if isinstance(name, str):
            entries.append(
                Entry(canonical(name), origin, partial(_read, package, chosen, origin, file.parent))
            )
        else:
            faults.add(origin, "a package needs its name")
    python = lock.get("requires-python")
    return Declared(
        file=file,
        requires_python=python if isinstance(python, str) else None,
        main=tuple(entries),
        inputs=[file],
    )


def _read(package: dict[str, Any], chosen: list[str], origin: str, base: Path) -> tuple[Requirement, ...]:
    """Read one package: a version of the index, a folder, or a file."""
    name, marker = package["name"], environment_only(optional_text(package.get("marker"), origin), chosen)
    if "vcs" in package:
        raise ConfigError(f"{name} comes from version control", where=origin, fix=VCS_FIX)
    if isinstance(folder := package.get("directory"), dict):
        return (local(name, resolved(base / str(folder.get("path", "."))), origin, marker=marker),)
    if isinstance(archive := package.get("archive"), dict):
        address = str(archive.get("url") or archive.get("path", ""))
        digest = table(archive, "hashes").get("sha256")
        hashes = (f"sha256:{digest}",) if digest else ()
        return (direct(name, address, origin, base, marker=marker, hashes=hashes),)
    if not package.get("wheels"):
        raise ConfigError(f"the lock has no wheel of {name}", where=origin, fix=SOURCE_FIX)
    version = package.get("version")
    text = f"{name}=={version}" if version else name
    return (parse(f"{text} ; {marker}" if marker else text, origin, base),)
