"""Gather every fault of a project's files, so that one error can tell them all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Faults", "has_credentials", "nearest", "redact"]

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def redact(text: str) -> str:
    """Return the text with the user and password of every address in it replaced by stars."""
    return _CREDENTIALS.sub("****@", text)


def has_credentials(text: str) -> bool:
    """Say whether an address in the text carries a user or a password."""
    return _CREDENTIALS.search(text) is not None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word that is most like this one, else nothing."""
    import difflib

    found = difflib.get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


class Faults:
    """The faults found so far. Reading goes on after each, `check` ends it."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[ConfigError] = []

    def add(self, where: str, what: str, *, fix: str | None = None) -> None:
        """Note a fault with its place, such as `pyproject.toml: tool.layerkit.sdk`."""
        self.found.append(ConfigError(what, where=where, fix=fix))

    def take(self, error: ConfigError) -> None:
        """Note a fault that a reader raised; one that is noted already is not noted twice."""
        if str(error) not in {str(known) for known in self.found}:
            self.found.append(error)

    def check(self) -> None:
        """Raise the one fault there is, or one ConfigError with all of them in the order found."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise self.found[0]
        lines = [f"  {error}".replace("\n", "\n  ") for error in self.found]
        raise ConfigError("\n".join([f"{len(lines)} faults in the project's files:", *lines]))
