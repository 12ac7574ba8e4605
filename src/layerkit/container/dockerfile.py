"""What a Dockerfile says of the images it starts from, read without an engine.

The form is the one of Docker's reference for Dockerfiles, as far as FROM, ARG and `COPY --from` go: parser
directives, comments, lines that go on, and variables with `:-` and `:+` in FROM. Everything else is
for the engine to judge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ESCAPE = re.compile(r"#\s*escape\s*=\s*([`\\])\s*", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*\w+\s*=.*")
_ARGUMENT = re.compile(r"""\s*([A-Za-z_]\w*)(?:=("[^"]*"|'[^']*'|\S*))?""")
_NAME = re.compile(r"\w+")
_FROM = re.compile(r"(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPY = re.compile(r"--from=(\S+)")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_DEEPEST = 20
_EMPTY = "scratch"


class Recipe(Struct, frozen=True, kw_only=True):
    """A Dockerfile read for one set of arguments.

    `arguments` are the values that were given for its ARG lines, `images` the images that its stages
    need from outside, each once, in order, with all variables filled in.
    """

    arguments: tuple[tuple[str, str], ...]
    images: tuple[str, ...]

    @property
    def loose(self) -> tuple[str, ...]:
        """Return the images that are not named by a digest: what they are may change from day to day."""
        return tuple(image for image in self.images if not _DIGEST.fullmatch(image))


class _Reading(Struct, kw_only=True):
    """What was found so far: `values` of global ARG lines, names of stages in small letters ("" for none)."""

    give: Callable[[str], str | None]
    values: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    images: dict[str, None] = field(default_factory=dict)


def read(text: str, give: Callable[[str], str | None], stage: str, where: str) -> Recipe:
    """Return what the Dockerfile says up to the end of `stage`, or of all its stages.

    `give` answers with the value for an argument, None where the Dockerfile's own counts. Raises
    ConfigError for a Dockerfile without a FROM, a FROM that names nothing, and a stage that is not there.
    """
    found, wanted = _Reading(give=give), stage.lower()
    for word, rest in _instructions(text):
        if word == "FROM" and wanted and wanted in found.stages:
            break  # the stages behind it are not built
        if word == "ARG":
            _take_arguments(found, rest)
        elif word == "FROM":
            _take_stage(found, rest, where)
        elif word == "COPY":
            for source in _COPY.findall(rest):
                _need(found, source)
    if not found.stages:
        raise ConfigError("the Dockerfile has no FROM line", where=where)
    if wanted and wanted not in found.stages:
        known = ", ".join(filter(None, found.stages)) or "none of them has a name"
        raise ConfigError(f"there is no stage called {stage!r}", where=where, fix=f"its stages: {known}")
    return Recipe(arguments=tuple(sorted(found.given.items())), images=tuple(found.images))


def _take_arguments(found: _Reading, rest: str) -> None:
    """Note arguments; those before the first FROM have values that FROM lines may use."""
    for match in _ARGUMENT.finditer(rest):
        name, default = match[1], (match[2] or "").strip("\"'")
        value = found.give(name)
        if value is not None:
            found.given[name] = value
        if not found.stages:
            found.values[name] = expand(default, found.values) if value is None else value


def _take_stage(found: _Reading, rest: str, where: str) -> None:
    """Note a stage and what it starts from."""
    match = _FROM.fullmatch(expand(rest, found.values).strip())
    if match is None:
        raise ConfigError(
            f"`FROM {rest}` names no image when its variables are filled in",
            where=where,
            fix="give them values in args of that layer",
        )
    _need(found, match[1])
    found.stages.append((match[2] or "").lower())


def _need(found: _Reading, source: str) -> None:
    """Note an image from outside: neither an earlier stage, nor its number, nor nothing at all."""
    numbers = map(str, range(len(found.stages)))
    if source != _EMPTY and source.lower() not in {*filter(None, found.stages), *numbers}:
        found.images.setdefault(source)


def expand(text: str, values: Mapping[str, str], depth: int = 0) -> str:
    """Return a text with $NAME, ${NAME}, ${NAME:-else} and ${NAME:+then} filled in, each in others too."""
    done, at = "", 0
    while at < len(text):
        if text[at] != "$" or depth > _DEEPEST:
            done, at = done + text[at], at + 1
        elif text[at + 1 : at + 2] == "{":
            end = _closing(text, at + 2)
            done, at = done + _filled(text[at + 2 : end], values, depth), end + 1
        elif match := _NAME.match(text, at + 1):
            done, at = done + values.get(match[0], ""), match.end()
        else:
            done, at = done + "$", at + 1
    return done


def _closing(text: str, at: int) -> int:
    """Return where the brace that was opened before `at` closes, the end of the text if it never does."""
    open_braces = 1
    while at < len(text):
        open_braces += {"{": 1, "}": -1}.get(text[at], 0)
        if not open_braces:
            return at
        at += 1
    return at


def _filled(inside: str, values: Mapping[str, str], depth: int) -> str:
    """Return what stands for the inside of ${...}."""
    name, colon, word = inside.partition(":")
    value = values.get(name, "")
    if colon and word.startswith("-"):
        return value or expand(word[1:], values, depth + 1)
    if colon and word.startswith("+"):
        return expand(word[1:], values, depth + 1) if value else ""
    return value


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in capitals and what follows it, continued lines in one piece."""
    escape, directives, held = "\\", True, ""
    for raw in text.removeprefix("\ufeff").splitlines():
        line = raw.strip()
        if directives and (match := _ESCAPE.fullmatch(line)):
            escape = match[1]
        directives = directives and _DIRECTIVE.fullmatch(line) is not None
        if not line or line.startswith("#"):
            continue
        held += line
        if held.endswith(escape):
            held = held[:-1] + " "
        else:
            yield _split(held)
            held = ""
    if held:
        yield _split(held)


def _split(line: str) -> tuple[str, str]:
    word, *rest = line.split(None, 1)
    return word.upper(), "".join(rest).strip()
