"""A function's own code: which files of its folder belong to it, and the small zip they become.

`include` and `exclude` of `[tool.layerkit.functions]` are lists of patterns as in .gitignore (see
patterns.py). Without `include` every file belongs; with it, those that it fits and what lies in the
folders that it fits. `exclude` is read after the house's own list, `DEFAULT_EXCLUDES`, and wins over
`include`; `!` in it takes something of that list back. Tests stay, for nobody but the author knows
whether the code imports them. A virtual environment is known by its pyvenv.cfg, whatever its name.

Symbolic links become what they point at, as long as that lies inside the folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import Piece, Problem, write_zip
from layerkit.archive.names import bad_name, collisions
from layerkit.digests import sha256_of
from layerkit.errors import ConfigError, StorageError
from layerkit.output import draft
from layerkit.patterns import Pattern, decide, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerkit.project import FunctionSpec

DEFAULT_EXCLUDES = (
    # Bytecode of the developer's machine: its timestamps can never fit a zip's.
    "__pycache__/",
    "*.pyc",
    "*.pyo",
    # Version control; .git is a file in a worktree.
    ".git",
    ".hg/",
    ".svn/",
    # What tools leave behind.
    ".venv",
    ".tox/",
    ".nox/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".coverage",
    ".layerkit*",
    ".aws-sam/",
    ".serverless/",
    "node_modules/",
    "*.egg-info/",
    ".idea/",
    ".vscode/",
    ".DS_Store",
)


class CodeFile(Struct, frozen=True, kw_only=True):
    """One file of a function: its path in the zip, where it lies, its bytes, whether it can be run."""

    name: str
    path: Path
    size: int
    executable: bool


class FunctionCode(Struct, frozen=True, kw_only=True):
    """The files that a function consists of, in the order of their names."""

    function: str
    files: tuple[CodeFile, ...]

    @property
    def size(self) -> int:
        """Return the bytes that the code counts for against Lambda's limit."""
        return sum(file.size for file in self.files)

    def digest(self) -> str:
        """Return the sha256 over names, modes and contents: equal digests make equal zips."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(f"{file.name}\0{file.executable:d}\0{_sha256(file.path)}\n".encode())
        return total.hexdigest()


class CodeZip(Struct, frozen=True, kw_only=True):
    """The zip of a function's code as it lies on disk; sizes are in bytes, sha256 is hex."""

    function: str
    path: Path
    size: int
    unzipped: int
    entries: int
    sha256: str


def collect(spec: FunctionSpec, apart: Sequence[Path] = ()) -> FunctionCode | None:
    """Return the files that make up the function's own code; None when it declares no code.

    `apart` are folders that never belong to it, wherever they lie: the output, the project's state.
    Raises ConfigError, with all faults in one, for code that is not there or empty, for patterns that
    cannot be read or name nothing, for links that lead outside and for files that no zip can hold.
    """
    if spec.code is None:
        return None
    where = f"functions.{spec.name}.code"
    include, exclude = _patterns(spec)
    try:
        walk = _Walk(spec.code, include, exclude, apart)
        walk.start()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {spec.code}", where=where, fix="write a file or a folder") from error
    except OSError as error:
        raise _unreadable(error, Path(error.filename or spec.code)) from error
    faults = walk.faults + _unused(include, walk.files)
    if not walk.files and not faults:
        faults = [f"no file of {spec.code} is left after include and exclude"]
    faults += [f"{problem.member!a} {problem.text}" for problem in _bad_names(walk.files)]
    if faults:
        raise ConfigError("; ".join(faults), where=where, fix="see include and exclude of that function")
    return FunctionCode(function=spec.name, files=tuple(sorted(walk.files, key=lambda file: file.name)))


def write_code(code: FunctionCode, folder: Path, prefix: str) -> CodeZip:
    """Write the function's code as `<prefix>-<function>-code.zip`, at the zip's root. Raises StorageError."""
    path = folder / f"{prefix}-{code.function}-code.zip"
    with draft(path) as name:
        composed = write_zip(name, map(_piece, code.files))
    return CodeZip(
        function=code.function,
        path=path,
        size=composed.size,
        unzipped=composed.unzipped,
        entries=composed.entries,
        sha256=composed.sha256,
    )


def _piece(file: CodeFile) -> Piece:
    """Return one file to be zipped; it is read when its turn comes."""
    return Piece(name=file.name, data=partial(_content, file), executable=file.executable)


def _content(file: CodeFile) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise _unreadable(error, file.path) from error


class _Walk:
    """One walk through a code folder: what it took, and what it could not take."""

    def __init__(
        self, code: Path, include: Sequence[Pattern], exclude: Sequence[Pattern], apart: Sequence[Path]
    ) -> None:
        """Prepare to walk `code`, which must exist."""
        self.files: list[CodeFile] = []
        self.faults: list[str] = []
        self._name = code.name
        self._root = os.path.realpath(code, strict=True)
        self._include = include
        self._exclude = exclude
        self._apart = {os.path.realpath(path) for path in apart}

    def start(self) -> None:
        """Take the file, or walk the folder, that the code is."""
        if Path(self._root).is_dir():
            self._folder(self._root, "", (self._root,), inside=not self._include)
        else:
            self._file(self._root, self._name)

    def _folder(self, path: str, prefix: str, above: tuple[str, ...], *, inside: bool) -> None:
        """Walk one folder; `above` are the real paths of it and of those it lies in."""
        with os.scandir(path) as entries:
            names = sorted(entries, key=lambda entry: entry.name)
        if prefix and any(entry.name == "pyvenv.cfg" for entry in names):
            return
        for entry in names:
            name = prefix + entry.name
            folder = entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())
            if decide(self._exclude, name, folder=folder):
                continue
            verdict = decide(self._include, name, folder=folder)
            taken = inside if verdict is None else verdict
            if entry.is_symlink() and (taken or folder):
                self._link(entry, name, above, taken=taken)
            elif folder:
                self._enter(entry.path, name, above, taken=taken)
            elif taken:
                self._file(entry.path, name)

    def _enter(self, path: str, name: str, above: tuple[str, ...], *, taken: bool) -> None:
        """Walk a folder inside the folder, unless it is one that stays apart."""
        if path not in self._apart:
            self._folder(path, f"{name}/", (*above, path), inside=taken)

    def _link(self, entry: os.DirEntry[str], name: str, above: tuple[str, ...], *, taken: bool) -> None:
        """Take what a symbolic link points at, if that is inside the folder and not above the link."""
        real = os.path.realpath(entry.path)
        if not Path(real).exists():
            self.faults.append(f"{name} is a link to nothing")
        elif not f"{real}/".startswith(f"{self._root}/"):
            self.faults += [f"{name} is a link that leads out of the folder"] if taken else []
        elif real in above:
            self.faults.append(f"{name} is a link to a folder that it lies in")
        elif Path(real).is_dir():
            self._enter(real, name, above, taken=taken)
        else:
            self._file(real, name)

    def _file(self, path: str, name: str) -> None:
        """Take one file, if it is one and its name can stand in a zip."""
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            self.faults.append(f"{name} is neither a file nor a folder")
        else:
            executable = bool(status.st_mode & stat.S_IXUSR)
            file = CodeFile(name=name, path=Path(path), size=status.st_size, executable=executable)
            self.files.append(file)


def _patterns(spec: FunctionSpec) -> tuple[list[Pattern], list[Pattern]]:
    """Return the patterns of a function, the house's own first. Raises ConfigError for all that are wrong."""
    faults: list[str] = []

    def read(key: str, text: str) -> Iterator[Pattern]:
        try:
            yield parse(text)
        except ConfigError as error:
            faults.append(f"{key}: {error.what}")

    include = [pattern for text in spec.include for pattern in read("include", text)]
    exclude = [pattern for text in (*DEFAULT_EXCLUDES, *spec.exclude) for pattern in read("exclude", text)]
    if faults:
        raise ConfigError(
            "; ".join(faults), where=f"functions.{spec.name}", fix="write them as in .gitignore"
        )
    return include, exclude


def _bad_names(files: Sequence[CodeFile]) -> Iterator[Problem]:
    """Yield what is wrong with names: a zip cannot hold them, or another file system takes two for one."""
    names = [file.name for file in files]
    for name in names:
        if problem := bad_name(name):
            yield problem
        elif not _is_text(name):
            yield Problem(case="name-not-text", text="is no UTF-8", member=name)
    yield from collisions(names)


def _is_text(name: str) -> bool:
    """Say whether a file name is text; Python keeps other bytes of it as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unused(include: Sequence[Pattern], files: Sequence[CodeFile]) -> list[str]:
    """Say which `include` patterns without wildcards name no file that was taken: they are mistakes."""
    literal = [pattern for pattern in include if pattern.literal and not pattern.negative]
    if not literal:
        return []
    names = {(file.name, False) for file in files}
    names |= {(str(parent), True) for file in files for parent in Path(file.name).parents}
    return [
        f"include: nothing is called {pattern.text!r}"
        for pattern in literal
        if not any(pattern.fits(name, folder=folder) for name, folder in names)
    ]


def _sha256(path: Path) -> str:
    """Return the hex digest of a file's content, read in blocks."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise _unreadable(error, path) from error


def _unreadable(error: OSError, path: Path) -> StorageError:
    what = f"the function's code cannot be read: {error.strerror}"
    return StorageError(what, where=str(path), fix="make it readable, or exclude it")
