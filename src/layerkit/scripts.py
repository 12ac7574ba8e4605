"""Commands that a wheel brings: entry points with their launchers, and scripts with their shebang."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.archive import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.target import Target

_GROUPS = ("console_scripts", "gui_scripts")
_OBJECT = re.compile(r"(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<attr>\w+(?:\.\w+)*)\s*(?:\[[^\]]*\])?")
_NOT_IN_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]|\.$|^$")
_LONGEST_NAME = 255
PLACEHOLDER = b"#!python"

# Lambda's bootstrap puts the layers on sys.path of its own process; a process that a function
# starts inherits only the environment. So the launcher finds its layers by itself, in the order
# in which the bootstrap has them. It must run on every Python that a runtime ever had.
_LAUNCHER = """\
#!{interpreter}
# Runs {module}:{attr}. Written by layerkit.
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for folder in ("python", "python/lib/python{minor}/site-packages"):
    sys.path.insert(1, os.path.join(ROOT, folder))

from {module} import {first}

if __name__ == "__main__":
    sys.exit({attr}())
"""


class Script(Struct, frozen=True, kw_only=True):
    """A command made from an entry point: calls `attr` of `module` without arguments."""

    name: str
    module: str
    attr: str


def read(content: bytes, member: str) -> tuple[tuple[Script, ...], list[Problem]]:
    """Return the commands that entry_points.txt asks for, by name, and what is wrong with it.

    Only the two groups that installers turn into files are looked at; extras behind an object
    reference change nothing, as for pip. The same command may be named twice if it is one.
    """
    found: dict[str, Script] = {}
    problems: list[Problem] = []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return (), [Problem(case="entry-points-encoding", text="is not valid UTF-8", member=member)]
    for name, value in _points(text):
        reference = _OBJECT.fullmatch(value)
        if _NOT_IN_A_NAME.search(name) or len(name.encode()) > _LONGEST_NAME:
            problem = ("entry-point-path", f"names a command {name!r}, which no file in bin can be called")
        elif reference is None:
            problem = ("entry-point-object", f"has a command {name!r} that names no callable: {value[:80]!r}")
        else:
            script = Script(name=name, module=reference["module"], attr=reference["attr"])
            if found.setdefault(name, script) == script:
                continue
            problem = ("entry-point-twice", f"has two commands called {name!r}")
        problems.append(Problem(case=problem[0], text=problem[1], member=member))
    return tuple(found[name] for name in sorted(found)), problems


def launcher(script: Script, target: Target) -> bytes:
    """Return the text of the file that runs the command on the target."""
    return _LAUNCHER.format(
        interpreter=target.interpreter,
        minor=target.minor,
        module=script.module,
        attr=script.attr,
        first=script.attr.partition(".")[0],
    ).encode()


def with_interpreter(content: bytes, target: Target) -> bytes:
    """Return a script whose placeholder `#!python` is the target's interpreter; others are unchanged.

    Whatever else stood in that first line is dropped, as pip does.
    """
    if not content.startswith(PLACEHOLDER):
        return content
    rest = content.partition(b"\n")[2]
    return b"#!" + target.interpreter.encode() + b"\n" + rest


def is_wrapper(filename: str, commands: frozenset[str]) -> bool:
    """Tell whether a script is what an old setuptools wrote for a command that gets its own launcher."""
    lowered = filename.lower()
    for ending in (".exe", "-script.py", "-script.pyw", ".pya"):
        if lowered.endswith(ending):
            return filename[: -len(ending)] in commands
    return filename in commands


def _points(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of the lines in the groups that become files, as importlib.metadata reads them."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group in _GROUPS:
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
