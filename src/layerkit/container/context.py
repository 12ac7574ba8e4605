"""The context of a Dockerfile: the files its COPY lines may take, as they are sent to the engine.

What `<Dockerfile>.dockerignore`, else `.dockerignore` in the context, says is left out; so are the folders
that layerkit itself writes to. Permissions are made 0644 and 0755 and dates 1980, so that neither a
umask nor a checkout changes what a build sees. Links are sent as links; sockets and the like are not sent.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit import patterns
from layerkit.container.tarred import Entry
from layerkit.errors import ConfigError, StorageError
from layerkit.project.text_files import decode, read_bytes, shown
from layerkit.wheel import file_sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from layerkit.patterns import Pattern
    from layerkit.project import Dockerfile

_IGNORE = ".dockerignore"
# The name of a Dockerfile that does not lie in its context.
_ELSEWHERE = ".layerkit.Dockerfile"


class Context(Struct, frozen=True, kw_only=True):
    """The files of a context by their names, in order; `dockerfile` is the Dockerfile's name among them."""

    entries: tuple[Entry, ...]
    dockerfile: str

    def digest(self) -> str:
        """Return the sha256 over names, permissions and contents: equal digests make equal contexts."""
        total = hashlib.sha256()
        for entry in self.entries:
            content = f"link {entry.link}" if entry.path is None else file_sha256(entry.path)
            told = f"{entry.name}\0{entry.mode:o}\0{content}\n"
            total.update(told.encode("utf-8", "surrogateescape"))
        return total.hexdigest()


def collect(spec: Dockerfile, apart: Collection[Path]) -> Context:
    """Return the context of a Dockerfile; `apart` are folders that never belong to it.

    Raises ConfigError for a .dockerignore that cannot be read, StorageError for an unreadable folder.
    """
    inside = spec.path.is_relative_to(spec.context)
    dockerfile = shown(spec.path, spec.context) if inside else _ELSEWHERE
    # The Dockerfile is sent, whatever is said of it: the engine has to read it.
    entries = {dockerfile: Entry(name=dockerfile, path=spec.path)}
    try:
        walked = _walk(os.fspath(spec.context), "", _ignored(spec), frozenset(map(os.fspath, apart)))
        for entry in walked:
            entries.setdefault(entry.name, entry)
    except OSError as error:
        what = f"the context of the Dockerfile cannot be read: {error.strerror}"
        raise StorageError(what, where=str(error.filename or spec.context)) from error
    return Context(entries=tuple(entries[name] for name in sorted(entries)), dockerfile=dockerfile)


def _ignored(spec: Dockerfile) -> tuple[Pattern, ...]:
    """Return the patterns of what is left out. All are read from the top of the context."""
    for path in (spec.path.with_name(spec.path.name + _IGNORE), spec.context / _IGNORE):
        if path.is_file():
            lines = enumerate(decode(read_bytes(path), str(path)).splitlines(), 1)
            return tuple(
                _pattern(line, f"{path}:{number}")
                for number, line in lines
                if line.strip("! ./\t") and not line.startswith("#")
            )
    return ()


def _pattern(line: str, where: str) -> Pattern:
    """Return a line of .dockerignore, which is read from the top and fits files and folders alike."""
    text = line.strip()
    body = text.removeprefix("!").strip().removeprefix("./").strip("/")
    try:
        return patterns.parse(f"{'!' if text.startswith('!') else ''}/{body}")
    except ConfigError as error:
        raise ConfigError(error.what, where=where, fix="see the form of .dockerignore") from error


def _walk(folder: str, prefix: str, ignored: tuple[Pattern, ...], apart: frozenset[str]) -> Iterator[Entry]:
    """Yield what lies in a folder of the context and below."""
    with os.scandir(folder) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        name = prefix + child.name
        left_out = _left_out(name, ignored)
        if child.is_dir(follow_symlinks=False):
            # What lies in a folder that is left out may be taken back.
            closed = left_out and not any(each.negative for each in ignored)
            if child.path not in apart and not closed:
                yield from _walk(child.path, f"{name}/", ignored, apart)
        elif not left_out and child.is_symlink():
            yield Entry(name=name, link=os.fspath(Path(child.path).readlink()), mode=0o777)
        elif not left_out and child.is_file():
            mode = 0o755 if child.stat().st_mode & 0o100 else 0o644
            yield Entry(name=name, path=Path(child.path), mode=mode)


def _left_out(name: str, ignored: tuple[Pattern, ...]) -> bool:
    """Say whether a name is left out: the last pattern that fits it, or a folder it lies in, decides."""
    if not ignored:
        return False
    parts = name.split("/")
    names = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for pattern in reversed(ignored):
        if any(pattern.fits(one, folder=True) for one in names):
            return not pattern.negative
    return False
