"""Read a Pipfile: its packages, its categories and its sources."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError
from layerkit.project.declared import Declared, Entry
from layerkit.project.faults import redact
from layerkit.project.requirement import (
    VCS_FIX,
    Requirement,
    and_markers,
    canonical,
    direct,
    local,
    parse,
    resolved,
)
from layerkit.project.tables import names, optional_text
from layerkit.project.text_files import read_json, read_toml, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerkit.project.faults import Faults

__all__ = ["declared", "declared_by_lock"]

_NO_CATEGORIES = frozenset({"packages", "source", "requires", "scripts", "pipenv"})
_REPOSITORIES = ("git", "hg", "svn", "bzr")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
# PEP 508's variables, which Pipenv takes as keys beside `markers`.
_MARKER_KEYS = (
    "os_name", "sys_platform", "platform_machine", "platform_python_implementation", "platform_system",
    "platform_version", "python_version", "python_full_version", "implementation_name",
)  # fmt: skip


def declared(file: Path, root: Path, faults: Faults) -> Declared:
    """Return what a Pipfile declares: its packages, and every other category as a group."""
    where = shown(file, root)
    tables = read_toml(file, where)
    groups = {
        canonical("dev" if key == "dev-packages" else key): tuple(
            _entries(value, f"{where}: {key}", root, faults)
        )
        for key, value in tables.items()
        if key not in _NO_CATEGORIES and isinstance(value, dict)
    }
    requires = tables.get("requires")
    python = (
        requires.get("python_version", requires.get("python_full_version"))
        if isinstance(requires, dict)
        else None
    )
    arguments, secret = _sources(tables.get("source"), f"{where}: source", faults)
    return Declared(
        file=file,
        requires_python=f"=={python}" + (".*" if str(python).count(".") < 2 else "") if python else None,  # noqa: PLR2004
        main=tuple(_entries(tables.get("packages", {}), f"{where}: packages", root, faults)),
        groups=groups,
        index_arguments=arguments,
        inputs=[file],
        secret=secret,
    )


def declared_by_lock(file: Path, root: Path, faults: Faults) -> Declared:
    """Return what a Pipfile.lock without a Pipfile declares: its default packages, at their versions."""
    where = shown(file, root)
    lock = read_json(file, where)
    default = lock.get("default") if isinstance(lock, dict) else None
    if not isinstance(default, dict):
        raise ConfigError("this has no packages under `default`", where=where)
    return Declared(
        file=file, main=tuple(_entries(default, f"{where}: default", root, faults)), inputs=[file]
    )


def _entries(packages: Any, path: str, root: Path, faults: Faults) -> Iterator[Entry]:
    """Yield an entry for each package of a category."""
    if not isinstance(packages, dict):
        faults.add(path, "this is not a table")
        return
    for name, item in packages.items():
        origin = f"{path}.{name}"
        yield Entry(canonical(name), origin, partial(_read, name, item, origin, root))


def _read(name: str, item: Any, origin: str, root: Path) -> tuple[Requirement, ...]:
    """Read one package: a range, or a table with one."""
    table: dict[str, Any] = item if isinstance(item, dict) else {"version": item}
    version = table.get("version", "*")
    if not isinstance(version, str):
        raise ConfigError(f"{item!r} is neither a version nor a table", where=origin)
    if version != "*" and version.lstrip()[:1] not in "<>=!~(":
        fix = f'write "=={version}" for that version alone'
        raise ConfigError(f"{version!r} is not a range of versions", where=origin, fix=fix)
    extras = tuple(map(canonical, names(table.get("extras"), origin)))
    marker = and_markers(
        optional_text(table.get("markers"), origin),
        *(f"{key} {table[key]}" for key in _MARKER_KEYS if key in table),
    )
    for kind in _REPOSITORIES:
        if kind in table:
            what = f"{redact(str(table[kind]))!r} is a version control address"
            raise ConfigError(what, where=origin, fix=VCS_FIX)
    if isinstance(path := table.get("path"), str):
        return (local(name, resolved(root / path), origin, extras=extras, marker=marker),)
    if isinstance(address := table.get("file"), str):
        return (direct(name, address, origin, root, extras=extras, marker=marker),)
    brackets = f"[{','.join(extras)}]" if extras else ""
    text = f"{name}{brackets}{'' if version == '*' else version}" + (f" ; {marker}" if marker else "")
    hashes = tuple(text for text in names(table.get("hashes"), origin) if text.startswith("sha256:"))
    return (parse(text, origin, root, hashes=hashes),)


def _sources(sources: Any, path: str, faults: Faults) -> tuple[tuple[str, ...], bool]:
    """Return uv's arguments for [[source]], and whether the environment stands in them.

    The public index is in every Pipfile under its own name; uv's default, which the user's own
    settings may replace by a mirror, is left in its place.
    """
    arguments: list[str] = []
    secret, default = False, True
    for index, source in enumerate(sources if isinstance(sources, list) else []):
        url = source.get("url") if isinstance(source, dict) else None
        if not isinstance(url, str):
            faults.add(f"{path}[{index}]", "a source needs its url")
            continue
        if str(source.get("name")).lower() == "pypi":
            default = False
            continue
        missing = [name for name in _VARIABLE.findall(url) if name not in os.environ]
        for name in missing:
            faults.add(f"{path}[{index}].url", f"the environment variable {name} is not set")
        secret = secret or _VARIABLE.search(url) is not None
        expanded = _VARIABLE.sub(_value, url)
        arguments += ["--index-url" if default else "--extra-index-url", expanded]
        default = False
    return tuple(arguments), secret


def _value(match: re.Match[str]) -> str:
    return os.environ.get(match[1], "")
