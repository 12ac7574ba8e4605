"""Links of a tree made into what they lead to, without anything of this machine's file system.

A symbolic link is read as the kernel would read it with the tree's root as its top folder: nothing above
that is ever reached. What leads outside, nowhere or around in circles is a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from layerkit.archive.problems import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

File = TypeVar("File")

_MOST_LINKS = 40  # MAXSYMLINKS of Linux
_MOST_LOOKS = 1_000_000
_LONGEST = 1024


class Links(Generic[File]):
    """A tree of folders, files and links; paths are relative to its top, with slashes.

    `top` is what absolute links call that top. After `files`, `copied` are the files that stand in for
    links, and `faults` say what is wrong with links.
    """

    def __init__(self, top: str) -> None:
        """Begin with an empty tree."""
        self.faults: list[str] = []
        self.copied: list[File] = []
        self._top = top
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}
        self._folders: dict[str, set[str]] = {"": set()}
        self._looks = 0

    def has(self, path: str) -> bool:
        """Say whether there is a file or a link of that path."""
        return path in self._files or path in self._links

    def file(self, path: str, content: File) -> None:
        """Add a file."""
        self._files[path] = content
        self._hang(path)

    def again(self, path: str, other: str) -> bool:
        """Add a second name of a file that is there; say whether it is."""
        if other not in self._files:
            return False
        self.file(path, self._files[other])
        self.copied.append(self._files[other])
        return True

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link with the text it holds."""
        self._links[path] = target
        self._hang(path)

    def folder(self, path: str) -> None:
        """Add a folder, which may stay empty."""
        self._folders.setdefault(path, set())
        self._hang(path)

    def files(self) -> list[tuple[str, File]]:
        """Return every path at which a file is seen, in order, links followed."""
        for path in sorted(self._folders.keys() & {*self._files, *self._links}):
            self.faults.append(f"/{self._top}/{printable(path)} is a folder and something else at once")
        return sorted(self._below("", "", ("",)), key=lambda item: item[0])

    def _hang(self, path: str) -> None:
        """Make the folders on the way know of their children."""
        while path:
            parent, _, name = path.rpartition("/")
            children = self._folders.setdefault(parent, set())
            if name in children:
                return
            children.add(name)
            path = parent

    def _below(self, folder: str, shown: str, above: tuple[str, ...]) -> Iterator[tuple[str, File]]:
        """Yield the files in a folder that is seen at the path `shown`; `above` are the folders it is in."""
        for name in sorted(self._folders[folder]):
            path, seen = _join(folder, name), _join(shown, name)
            try:
                self._limit(seen)
                real = self._real(path) if path in self._links else path
            except _AstrayError as error:
                self.faults.append(f"/{self._top}/{printable(seen)} {error}")
                continue
            if real in self._files:
                if seen != real:
                    self.copied.append(self._files[real])
                yield seen, self._files[real]
            elif real in above:
                self.faults.append(f"/{self._top}/{printable(seen)} leads to a folder that it lies in")
            else:
                yield from self._below(real, seen, (*above, real))

    def _limit(self, seen: str) -> None:
        """Stop where links to folders that hold links would never end, or too late."""
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            raise _AstrayError("is one file too many, for a layer or with what links to folders make of them")
        if len(seen) > _LONGEST:
            raise _AstrayError("is too long a path")

    def _real(self, link: str) -> str:
        """Return the file or folder that a link leads to."""
        at, rest, links = "", link.split("/"), 0
        while rest:
            part, *rest = rest
            path = _join(at, part)
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    raise _AstrayError(f"leads out of /{self._top}: {printable(self._links[link])}")
                at = at.rpartition("/")[0]
            elif path in self._links:
                links += 1
                if links > _MOST_LINKS:
                    raise _AstrayError("leads around in circles")
                absolute, rest = self._target(path, rest)
                at = "" if absolute else at
            elif path in self._folders or (path in self._files and not any(rest)):
                at = path
            else:
                raise _AstrayError(f"leads to nothing: {printable(self._links[link])}")
        return at

    def _target(self, link: str, rest: list[str]) -> tuple[bool, list[str]]:
        """Return whether a link begins at the top, and the way from there or from its folder."""
        target = self._links[link]
        if not target.startswith("/"):
            return False, [*target.split("/"), *rest]
        first, *parts = target.lstrip("/").split("/")
        if first != self._top:
            raise _AstrayError(f"leads out of /{self._top}: {printable(target)}")
        return True, [*parts, *rest]


class _AstrayError(Exception):
    """A link leads to no file and no folder of the tree."""


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
