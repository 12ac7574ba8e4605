"""What the modules of a wheel use of it: what looks like a test suite, or like a source, may be in use.

The sources are searched for import statements and for names of modules in quotes, by expression and
not by parsing: what a package means for Python 3.14 must read the same on 3.10. An import inside a
function counts as one at the top, for nobody can say that it is never called. What only looks like an
import, in a docstring for one, keeps a module that could have gone, which harms nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

__all__ = ["in_use", "named"]

_SPACE = rb"(?:[ \t]|\\\r?\n)"
_NAMES = re.compile(rb"import%b*(\([^)]*\)|(?:[^\n;#\\]|\\\r?\n)+)" % _SPACE)
_BEFORE = re.compile(rb"(?:.*[;:])?[ \t]*(?:from%b+(?P<source>[.\w]+)%b+)?" % (_SPACE, _SPACE), re.DOTALL)
_QUOTED = re.compile(rb"""["']([A-Za-z_]\w*(?:\.\w+)+)["']""")
_COMMENT = re.compile(r"#[^\n]*")
_SUFFIXES = (".py", ".so")


def in_use(kept: Iterable[str], dropped: Collection[str], read: Callable[[str], bytes]) -> set[str]:
    """Return those of the `dropped` files that the `kept` ones import, and what these import in turn.

    Paths are relative to the folder of the modules; `read` gives a file's content and is asked for
    sources only.
    """
    modules = {_module(path): path for path in dropped if path.endswith(_SUFFIXES)}
    if not modules:
        return set()
    waiting = [path for path in kept if path.endswith(".py")]
    names = _words(modules.values(), {path.rpartition("/")[0] for path in waiting})
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        content = read(path)
        # Whoever imports from a folder that was left out has to name it, but for those who live in it.
        if path not in found and not any(name in content for name in names):
            continue
        for name in _named(content, path):
            for wanted in _with_parents(name):
                if (target := modules.get(wanted)) and target not in found:
                    found.add(target)
                    waiting += [target] if target.endswith(".py") else []
    return found


def named(kept: Iterable[str], dropped: Collection[str], read: Callable[[str], bytes]) -> set[str]:
    """Return the `dropped` files whose names the `kept` modules have in quotes, alone or in a path."""
    names = {path.rpartition("/")[2].encode() for path in dropped}
    endings = {name[name.rindex(b".") :] + quote for name in names for quote in (b'"', b"'")}
    if not names:
        return set()
    spoken = re.compile(
        rb"""[\w.-]+(?:%b)["']""" % b"|".join(sorted({re.escape(end[:-1]) for end in endings}))
    )
    found: set[bytes] = set()
    for path in kept:
        if path.endswith(".py"):
            content = read(path)
            if any(end in content for end in endings):
                found.update(match[:-1] for match in spoken.findall(content))
    return {path for path in dropped if path.rpartition("/")[2].encode() in found}


def _module(path: str) -> str:
    """Return the dotted name of a module; a package goes by the name of its folder."""
    folder, _, name = path.rpartition("/")
    stem = name.partition(".")[0]
    parts = folder.split("/") if folder else []
    return ".".join(parts if stem == "__init__" else [*parts, stem])


def _words(modules: Iterable[str], inhabited: Collection[str]) -> set[bytes]:
    """Return the names one of which an import from outside must spell.

    That is the name of the outermost folder that was left out as a whole, and the module's own where others
    of its folder were kept; `inhabited` are the folders of what was kept.
    """
    peopled = {parent for folder in inhabited for parent in _above(folder)}
    names = set()
    for path in modules:
        gone = next((folder for folder in _above(path.rpartition("/")[0]) if folder not in peopled), path)
        names.add(gone.rpartition("/")[2].partition(".")[0].encode())
    return names


def _above(folder: str) -> Iterator[str]:
    """Yield the folders on the way to a folder, the outermost first, and the folder itself."""
    at = folder.find("/")
    while at >= 0:
        yield folder[:at]
        at = folder.find("/", at + 1)
    yield folder


def _with_parents(name: str) -> Iterator[str]:
    """Yield the name and those of the packages that are imported before it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _named(content: bytes, path: str) -> Iterator[str]:
    """Yield the dotted names that a source may import; what is a module among them is not asked."""
    package = path.split("/")[:-1]
    for found in _NAMES.finditer(content):
        statement = _BEFORE.fullmatch(content, _line_start(content, found.start()), found.start())
        if statement is None:
            continue
        if statement["source"] is None:
            yield from _list(found[1])
        else:
            base = _absolute(statement["source"].decode("utf-8", "replace"), package)
            yield base
            yield from (f"{base}.{name}" for name in _list(found[1]))
    for found in _QUOTED.finditer(content):
        yield found[1].decode("utf-8", "replace")


def _line_start(content: bytes, at: int) -> int:
    """Return where the line begins that goes on at `at`; one that a backslash ends goes on in the next."""
    start = content.rfind(b"\n", 0, at) + 1
    while content.endswith((b"\\\n", b"\\\r\n"), 0, start):
        start = content.rfind(b"\n", 0, start - 1) + 1
    return start


def _absolute(name: str, package: list[str]) -> str:
    """Return the full name of what `from` names, seen from a module in `package`."""
    rest = name.lstrip(".")
    if rest == name:
        return name
    up = len(name) - len(rest) - 1
    return ".".join([*package[: len(package) - up], *filter(None, [rest])])


def _list(names: bytes) -> list[str]:
    """Return the names of an import's list, without what they are called afterwards."""
    text = _COMMENT.sub("", names.decode("utf-8", "replace")).replace("\\", " ")
    return [found for part in text.strip("() \t\r\n").split(",") if (found := part.split(" as ")[0].strip())]
