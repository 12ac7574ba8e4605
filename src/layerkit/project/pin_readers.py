"""The pins in uv.lock, pylock.toml, Pipfile.lock and poetry.lock, as each of them writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layerkit.errors import ConfigError
from layerkit.project.pins import environment_only, hashes_of
from layerkit.project.requirement import Pin, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerkit.project.requirement import Requirement

__all__ = ["pins"]


def pins(
    lock: dict[str, Any], filename: str, where: str, requirements: Iterable[Requirement]
) -> Iterator[Pin]:
    """Return the pins in the order of the lock, by the reader that the file's name means."""
    if filename == "poetry.lock":
        from layerkit.project import poetry_lock

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
            attestations=_attestations(package.get("attestation-identities"), where),
        )


def _attestations(identities: Any, where: str) -> str:
    """Return who attested to a package's files, as JSON; "" where nobody did."""
    if not identities:
        return ""
    try:
        return json.dumps(identities, sort_keys=True)
    except TypeError as error:
        raise ConfigError("its attestation-identities hold what is no text", where=where) from error


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
