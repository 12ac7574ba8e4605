"""Locks that other tools left beside a project: their versions and hashes are the pins to keep.

`find` says which lock counts, `read` gives its pins. Only packages from an index are pins; what
came from a path, an address or a repository is the project's own requirement and not a version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError
from layerkit.pins import environment_only, hashes_of, newest_first
from layerkit.requirement import Pin, canonical
from layerkit.text_files import read_json, read_toml, shown
from layerkit.uv_sources import workspace_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layerkit.requirement import Requirement

__all__ = ["find", "read"]

# PEP 751: the one lock, and named ones beside it.
_PYLOCK = re.compile(r"pylock\.(?:[^.]+\.)?toml")


def find(root: Path, *, tool: str | None) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the lock that counts, or none, and what a user should know about the choice.

    The order: the lock of the project's own tool (`poetry`, `uv` or `pipenv`), then uv.lock,
    poetry.lock, pylock.toml, the one pylock.*.toml, Pipfile.lock. A member of a uv workspace has
    its uv.lock at the workspace's root. With `tool` "pip", only PEP 751 locks count.
    """
    uv, poetry, pipenv = root / "uv.lock", root / "poetry.lock", root / "Pipfile.lock"
    own = {"poetry": poetry, "uv": uv, "pipenv": pipenv}.get(tool or "")
    named = sorted(path for path in root.glob("pylock.*.toml") if _PYLOCK.fullmatch(path.name))
    plain = [root / "pylock.toml", *(named if len(named) == 1 else [])]
    order = plain if tool == "pip" else [*([own] if own else []), uv, poetry, *plain, pipenv]
    found = [path for path in dict.fromkeys(order) if path.is_file()]
    if not uv.is_file() and tool not in {"pip", "pipenv"} and (shared := _of_workspace(root)):
        found.append(shared)
    notes = []
    if len(found) > 1:
        others = ", ".join(shown(path, root) for path in found[1:])
        notes.append(f"the versions of {shown(found[0], root)} are kept; {others} beside it is not read")
    if len(named) > 1 and not found:
        names = ", ".join(path.name for path in named)
        notes.append(f"none of {names} is read: one of them has to be given as the project")
    return tuple(found[:1]), tuple(notes)


def _of_workspace(root: Path) -> Path | None:
    """Return the uv.lock of the workspace that the project is a member of."""
    if not any((folder / "uv.lock").is_file() for folder in root.parents):
        return None
    found = workspace_root(root)
    lock = found[0] / "uv.lock" if found else None
    return lock if lock and lock.is_file() else None


def read(path: Path, root: Path, requirements: Iterable[Requirement] = ()) -> tuple[Pin, ...]:
    """Return the pins of a lock, by name, a name's newest version first.

    `requirements` are the project's own: an older poetry.lock with several versions of a package
    does not say itself which is for which Python. Raises ConfigError where the lock is none.
    """
    where = shown(path, root)
    lock = read_json(path, where) if path.name == "Pipfile.lock" else read_toml(path, where)
    try:
        return newest_first(_pins(lock, path.name, where, requirements))
    except (AttributeError, KeyError, TypeError) as error:
        what = f"the lock is not as its tool writes it ({type(error).__name__}: {error})"
        raise ConfigError(what, where=where, fix="let the tool that wrote it write it again") from None


def _pins(
    lock: dict[str, Any], filename: str, where: str, requirements: Iterable[Requirement]
) -> Iterator[Pin]:
    """Return the pins in the order of the lock, by the reader that the file's name means."""
    if filename == "poetry.lock":
        from layerkit import poetry_lock

        return poetry_lock.pins(lock, requirements)
    if filename == "uv.lock":
        return _uv(lock, where)
    return _pipenv(lock, where) if filename == "Pipfile.lock" else _pylock(lock, where)


def _uv(lock: dict[str, Any], where: str) -> Iterator[Pin]:
    """Yield the pins of a uv.lock: packages of a registry, each for its resolution markers."""
    if lock.get("version") != 1:
        raise ConfigError(f"uv.lock version {lock.get('version')!r} is not known (known: 1)", where=where)
    for package in lock.get("package", []):
        if "registry" not in package.get("source", {}) or "version" not in package:
            continue
        markers = [
            marker for text in package.get("resolution-markers", []) if (marker := environment_only(text))
        ]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        yield Pin(
            name=canonical(package["name"]),
            version=package["version"],
            marker=" or ".join(f"({marker})" for marker in markers)
            if len(markers) > 1
            else next(iter(markers), None),
            hashes=hashes_of(files),
        )


def _pylock(lock: dict[str, Any], where: str) -> Iterator[Pin]:
    """Yield the pins of a PEP 751 lock: packages with wheels or a source archive."""
    version = str(lock.get("lock-version", ""))
    if not version.startswith("1."):
        raise ConfigError(f"lock-version {version!r} is not known (known: 1.0)", where=where)
    for package in lock.get("packages", []):
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        if "version" not in package or not files:
            continue
        digests = (file.get("hashes", {}).get("sha256") for file in files)
        yield Pin(
            name=canonical(package["name"]),
            version=package["version"],
            marker=environment_only(package.get("marker")),
            hashes=frozenset(f"sha256:{digest}" for digest in digests if digest),
        )


def _pipenv(lock: dict[str, Any], where: str) -> Iterator[Pin]:
    """Yield the pins of a Pipfile.lock; where categories differ, the default one counts."""
    if not isinstance(lock, dict) or "default" not in lock:
        raise ConfigError("this has no packages under `default`", where=where)
    categories = {"default": lock["default"], **lock}
    seen: set[str] = set()
    for category, packages in categories.items():
        if category == "_meta":
            continue
        for name, package in packages.items():
            version = str(package.get("version", ""))
            if not version.startswith("==") or canonical(name) in seen:
                continue
            seen.add(canonical(name))
            yield Pin(
                name=canonical(name),
                version=version.removeprefix("==").removeprefix("="),
                marker=package.get("markers") or None,
                hashes=frozenset(text for text in package.get("hashes", []) if text.startswith("sha256:")),
            )
