"""Which names a member may have, and when two names are one."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from layerkit.archive.problems import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_COMPONENT = 255  # NAME_MAX of the file systems that Lambda and hosts use, in bytes
_MAX_PATH = 1024  # PATH_MAX of macOS, the smallest of the systems we run on, in bytes
_NEVER = r"/\\\x00-\x1f\x7f-\x9f\ud800-\udfff"
# A component ends in neither dot nor space, which also rules out `.` and `..`. The first one is no drive.
_COMPONENT = rf"[^{_NEVER}]{{0,254}}[^{_NEVER}. ]"
_GOOD = rf"(?![A-Za-z]:){_COMPONENT}(?:/{_COMPONENT})*"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_SURROGATE = r"[\ud800-\udfff]"
_DRIVE = "[A-Za-z]:"


@cache
def _good() -> re.Pattern[str]:
    # Compiled when the first name is judged: composing layers judges none.
    return re.compile(_GOOD)


def fold(name: str) -> str:
    """Return the form in which names collide: canonical caseless matching (Unicode 3.13, D145).

    A file system that ignores case or normalises names lays both files at one path.
    """
    if name.isascii():
        return name.lower()
    from unicodedata import normalize

    return normalize("NFD", normalize("NFD", name).casefold())


def bad_name(name: str) -> Problem | None:
    """Return why `name`, the path of a file without a slash at its end, may not be; None if it may."""
    short = len(name) <= _MAX_COMPONENT and name.isascii()
    if _good().fullmatch(name) and (short or _fits(name)):
        return None
    case, text = _why_bad(name)
    return Problem(case=case, text=text, member=name)


def _fits(name: str) -> bool:
    path = name.encode("utf-8", "surrogatepass")
    return len(path) <= _MAX_PATH and max(map(len, path.split(b"/"))) <= _MAX_COMPONENT


def _why_bad(name: str) -> tuple[str, str]:
    """Return the case and its sentence for a name that is known to be bad: the first that applies."""
    parts = name.split("/")
    reasons = (
        (not name, "name-empty", "has an empty name"),
        (re.search(_CONTROL, name), "name-control", "has a control character in its name"),
        (re.search(_SURROGATE, name), "name-not-utf8", "has a name that UTF-8 cannot say"),
        ("\\" in name, "name-backslash", "has a backslash in its name"),
        (name.startswith("/"), "name-absolute", "has an absolute path"),
        (re.match(_DRIVE, name), "name-drive", "begins with a drive letter"),
        (".." in parts, "name-parent", "leads out of its folder by `..`"),
        ("." in parts or "" in parts, "name-not-plain", "has an empty or `.` component in its path"),
        (
            not _fits(name),
            "name-too-long",
            f"is above {_MAX_PATH} bytes, or a component above {_MAX_COMPONENT}",
        ),
        (True, "name-trailing", "has a component that ends in a dot or a space"),
    )
    return next((case, text) for holds, case, text in reasons if holds)


def collisions(names: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each name that is there twice, or equals another one's folder or folded form.

    A name that ends in a slash is a folder.
    """
    names = list(names)
    keys = [fold(name.rstrip("/")) for name in names]
    folders = _folders(keys)
    files = {key for key, name in zip(keys, names, strict=True) if not name.endswith("/")}
    if len(set(keys)) == len(keys) and files.isdisjoint(folders):
        return
    first: dict[str, int] = {}
    for index, (key, name) in enumerate(zip(keys, names, strict=True)):
        if key in folders and not name.endswith("/"):
            yield Problem(case="file-and-folder", text="is a file and a folder at once", member=name)
        other = first.setdefault(key, index)
        if other != index:
            yield _collision(names[other], name)


def _folders(keys: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for key in keys:
        parent = key.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    return folders


def _collision(first: str, second: str) -> Problem:
    if first == second:
        return Problem(case="name-twice", text="is there more than once", member=second)
    if first.rstrip("/") == second.rstrip("/"):
        return Problem(case="file-and-folder", text="is a file and a folder at once", member=second)
    text = f"is one path with {printable(first)} where case or Unicode form is ignored"
    return Problem(case="name-folds-equal", text=text, member=second)
