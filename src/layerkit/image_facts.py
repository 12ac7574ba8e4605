"""What was read from the runtimes' own images: facts that stand above those that layerkit comes with.

They lie in one JSON file of the user's, named by LAYERKIT_FACTS, else runtimes.json in the user's folder
of settings, by target. A team that wants the same layers everywhere keeps such a file with its project.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "LAYERKIT_FACTS"
FORMAT = "layerkit/facts/1"
_TARGET = re.compile(r"python(3\.\d+)-(x86_64|arm64)")


class ImageFacts(Struct, frozen=True, kw_only=True):
    """One image: its name and digest, the day it was read, and what it holds.

    `python` and `glibc` are versions, `packages` what the runtime brings as (canonical name, version),
    `libraries` the names that the loader of shared libraries finds there.
    """

    image: str
    digest: str
    seen: str
    python: str
    glibc: str
    packages: tuple[tuple[str, str], ...]
    libraries: tuple[str, ...]

    @property
    def source(self) -> str:
        """Return where these facts come from, for people."""
        return f"{self.image} ({self.digest})"

    def version(self, package: str) -> str | None:
        """Return the version of a package of the runtime."""
        return dict(self.packages).get(package)

    def as_json(self) -> dict[str, Any]:
        """Return the shape that the file has, and `runtimes --json`."""
        return {
            "image": self.image,
            "digest": self.digest,
            "seen": self.seen,
            "python": self.python,
            "glibc": self.glibc,
            "packages": dict(self.packages),
            "libraries": list(self.libraries),
        }


def path() -> Path:
    """Return where the facts lie that were read from images."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    settings = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(settings, "layerkit", "runtimes.json").expanduser()


def read() -> dict[str, ImageFacts]:
    """Return the facts by target, such as python3.12-x86_64; none where there is no file.

    Raises ConfigError for a file that is something else.
    """
    where = path()
    try:
        text = where.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(where, str(error)) from error
    try:
        document = json.loads(text)
        if document["schema"] != FORMAT:
            raise _unreadable(where, f"its schema is {document['schema']!r} and not {FORMAT!r}")
        return {key: _read(key, table) for key, table in document["targets"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(where, f"{type(error).__name__}: {error}") from error


def written(facts: Mapping[str, ImageFacts]) -> bytes:
    """Return the file of these facts."""
    targets = {key: facts[key].as_json() for key in sorted(facts)}
    return (json.dumps({"schema": FORMAT, "targets": targets}, indent=2) + "\n").encode()


def _read(key: str, table: Mapping[str, Any]) -> ImageFacts:
    """Read the facts of one target; ValueError where they cannot be its own."""
    known = _TARGET.fullmatch(key)
    python, glibc = str(table["python"]), str(table["glibc"])
    if not known or not python.startswith(f"{known[1]}.") or not re.fullmatch(r"2\.\d+", glibc):
        raise ValueError(f"these are no facts of {key}: Python {python}, glibc {glibc}")
    return ImageFacts(
        image=str(table["image"]),
        digest=str(table["digest"]),
        seen=str(table["seen"]),
        python=python,
        glibc=glibc,
        packages=tuple(sorted((str(name), str(version)) for name, version in table["packages"].items())),
        libraries=tuple(map(str, table["libraries"])),
    )


def _unreadable(where: Path, why: str) -> ConfigError:
    return ConfigError(
        f"this is no file of facts about runtimes: {why}",
        where=str(where),
        fix="remove it and run `layerkit runtimes --refresh`, or let LAYERKIT_FACTS name another",
    )
