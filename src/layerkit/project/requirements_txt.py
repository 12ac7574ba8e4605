"""Read requirements files as pip does: nested files, options, hashes, paths and variables.

pip's documentation ("Requirements File Format") says what a line may hold. Where pip starts a
relative path from the folder it was started in, this reader takes the project's root, and then
the folder of the file that names it.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.errors import ConfigError
from layerkit.project.faults import Faults, nearest, redact
from layerkit.project.local_paths import nameless
from layerkit.project.requirement import parse, path_of
from layerkit.project.text_files import decode, read_bytes, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layerkit.project.requirement import Requirement

__all__ = ["RequirementsFile", "read"]

_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OPTION = re.compile(r"\s-{1,2}[A-Za-z]")
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")

_LONG = {
    "-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-i": "--index-url",
    "-f": "--find-links", "--pypi-url": "--index-url",
}  # fmt: skip
_FLAGS = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})
_VALUED = frozenset(
    {
        *("--requirement", "--constraint", "--editable", "--index-url", "--extra-index-url", "--find-links"),
        *("--no-binary", "--only-binary", "--trusted-host", "--use-feature", "--hash"),
        *("--config-settings", "--config-setting", "--global-option", "--install-option"),
    }
)


class RequirementsFile(Struct, kw_only=True):
    """What a requirements file and the files it names ask for.

    `index_arguments` are uv's, with absolute paths. `secret` says that variables of the
    environment went into what was read, so that it must not be written anywhere. `require_hashes` says
    that a file asks for a hash of every wheel.
    """

    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    index_arguments: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    secret: bool = False
    require_hashes: bool = False


def read(
    path: Path, root: Path, faults: Faults, environment: Mapping[str, str] | None = None
) -> RequirementsFile:
    """Read a requirements file and all it names. Faults are gathered as `file:line`."""
    reading = _Reading(root=root, faults=faults, environment=environment or os.environ)
    reading.file(path, constraint=False, chain=())
    return reading.result


class _Reading(Struct, kw_only=True):
    """The state of one reading over nested files."""

    root: Path
    faults: Faults
    environment: Mapping[str, str]
    result: RequirementsFile = field(default_factory=RequirementsFile)
    seen: set[tuple[Path, bool]] = field(default_factory=set)

    def file(self, path: Path, *, constraint: bool, chain: tuple[Path, ...]) -> None:
        """Read one file, once as requirements and once as constraints at most."""
        if path in chain:
            names = " -> ".join(shown(file, self.root) for file in (*chain, path))
            raise ConfigError(f"requirements files name one another in a circle: {names}")
        if (path, constraint) in self.seen:
            return
        self.seen.add((path, constraint))
        name = shown(path, self.root)
        text = decode(read_bytes(path), name)
        if path not in self.result.files:
            self.result.files.append(path)
        for number, line in _lines(text):
            where = f"{name}:{number}"
            try:
                self.line(line, where, path, constraint=constraint, chain=(*chain, path))
            except ConfigError as error:
                self.faults.take(error if error.where else ConfigError(error.what, where=where))

    def line(self, line: str, where: str, file: Path, *, constraint: bool, chain: tuple[Path, ...]) -> None:
        """Read one line: options of the file, or a requirement with options of its own."""
        expanded = self.expand(line, where)
        if not expanded.startswith("-"):
            found = _OPTION.search(expanded)
            text, tail = (expanded[: found.start()], expanded[found.start() :]) if found else (expanded, "")
            hashes = self.hashes(tail, where)
            self.add(self.requirement(text.strip(), where, file, hashes), constraint=constraint)
            return
        for option, value in _options(expanded, where):
            if option in {"--requirement", "--constraint"}:
                nested = self.nested(value, where, file)
                self.file(nested, constraint=constraint or option == "--constraint", chain=chain)
            elif option == "--editable":
                # Layers hold wheels, so an editable folder is built like any other.
                self.add(self.requirement(value, where, file, ()), constraint=constraint)
            else:
                self.option(option, value, where, file)

    def add(self, requirement: Requirement, *, constraint: bool) -> None:
        """Keep a requirement where it belongs."""
        (self.result.constraints if constraint else self.result.requirements).append(requirement)

    def expand(self, line: str, where: str) -> str:
        """Put the environment's values in place of ${NAME}; a name that is not set is a fault."""

        def value(match: re.Match[str]) -> str:
            if match[1] == "PROJECT_ROOT" and match[1] not in self.environment:
                return match[0]
            if match[1] not in self.environment:
                raise ConfigError(
                    f"the environment variable {match[1]} is not set",
                    where=where,
                    fix="set it, or write the value",
                )
            self.result.secret = True
            return self.environment[match[1]]

        return _VARIABLE.sub(value, line)

    def nested(self, value: str, where: str, file: Path) -> Path:
        """Return the path of a nested file, which starts from the file that names it."""
        if "://" in value and not value.startswith("file:"):
            raise ConfigError(
                f"{redact(value)!r} is not on this machine",
                where=where,
                fix="fetch the file and name its path: what decides a build must lie beside it",
            )
        path = path_of(value, file.parent)
        if not path.is_file():
            raise ConfigError(f"there is no file {shown(path, self.root)}", where=where)
        return path

    def hashes(self, tail: str, where: str) -> tuple[str, ...]:
        """Return the sha256 hashes behind a requirement."""
        found: list[str] = []
        given = 0
        for option, value in _options(tail, where):
            if option != "--hash":
                self.option(option, value, where, self.root)
                continue
            given += 1
            if match := _HASH.fullmatch(value):
                found.append(f"sha256:{match[1].lower()}")
            elif value.startswith("sha256:") or not re.fullmatch(r"(?:sha384|sha512):[0-9a-fA-F]+", value):
                raise ConfigError(
                    f"{value!r} is not a hash", where=where, fix="write sha256: and 64 hex digits"
                )
        if given and not found:
            raise ConfigError("none of the hashes is a sha256", where=where, fix="add --hash=sha256:...")
        return tuple(found)

    def requirement(self, text: str, where: str, file: Path, hashes: tuple[str, ...]) -> Requirement:
        """Read a requirement, a path or an address."""
        if found := nameless(text, where, (self.root, file.parent), hashes):
            return found
        return parse(text, where, file.parent, hashes=hashes)

    def option(self, option: str, value: str, where: str, file: Path) -> None:
        """Turn an option of the file into uv's argument, or say what becomes of it."""
        arguments = self.result.index_arguments
        if option in {"--index-url", "--extra-index-url", "--find-links"}:
            arguments += [option, _place(value, file.parent)]
        elif option == "--no-index":
            arguments.append(option)
        elif option == "--require-hashes":
            self.result.require_hashes = True
        elif option == "--pre":
            arguments += ["--prerelease", "allow"]
        elif option == "--trusted-host":
            arguments += ["--allow-insecure-host", value]
        elif option == "--no-binary" and value != ":none:":
            self.result.notes.append(
                f"{where}: --no-binary {value} is not followed: layerkit takes wheels only, "
                "those of the index or those you build and name by their path"
            )
        elif option in {"--config-settings", "--config-setting", "--global-option", "--install-option"}:
            self.result.notes.append(f"{where}: {option} is not followed: nothing is built from source")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, text) of each logical line, as pip joins them.

    A backslash at the end joins the next line, except behind a comment; a comment starts at the
    line's start or behind a blank.
    """
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not parts:
            first = number
        comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not comment:
            parts.append(line[:-1])
            continue
        parts.append(" " + line if comment and parts else line)
        if joined := _COMMENT.sub("", "".join(parts)).strip():
            yield first, joined
        parts = []
    if joined := _COMMENT.sub("", "".join(parts)).strip():
        yield first, joined


def _options(text: str, where: str) -> Iterator[tuple[str, str]]:
    """Yield (long name, value) of each option; a flag's value is empty."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"the options cannot be read: {error}", where=where) from None
    while words:
        option, value = _split(words.pop(0))
        if option in _FLAGS:
            yield option, ""
        elif option not in _VALUED:
            shorter = nearest(option, _FLAGS | _VALUED)
            raise ConfigError(
                f"there is no option {redact(option)!r} in requirements files{shorter}", where=where
            )
        elif value or words:
            yield option, value or words.pop(0)
        else:
            raise ConfigError(f"{option} has no value", where=where)


def _split(word: str) -> tuple[str, str]:
    """Part `--name=value`, `-nvalue` and `-n=value`; the value is empty where it is the next word."""
    if word.startswith("--"):
        name, _, value = word.partition("=")
        return _LONG.get(name, name), value
    return _LONG.get(word[:2], word), word[2:].removeprefix("=") if word[:2] in _LONG else ""


def _place(value: str, base: Path) -> str:
    """Return an index's address, or the absolute path of a folder."""
    return value if "://" in value and not value.startswith("file:") else str(path_of(value, base))
