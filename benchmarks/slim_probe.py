"""Import modules and run a line in the target's interpreter; what went wrong goes to stdout as JSON lines.

Runs by itself (`python -s -S -B slim_probe.py`), with the folder of the modules, the names of the modules and
the line as JSON on stdin. What the modules print themselves is thrown away.
"""

import importlib
import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Answer what is asked on stdin: one line [what, fault or null] for each module, and for the line."""
    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - nothing is imported that need not be
        os.dup2(nowhere.fileno(), 1)
    add_site_folder(asked["site"])
    end = time.monotonic() + asked["seconds"]
    names: dict[str, Any] = {"__name__": "line"}

    def answer(what: str, fault: "str | None") -> None:
        answers.write(json.dumps([what, fault]) + "\n")
        answers.flush()

    for name in asked["modules"]:
        answer(name, import_it(name, names))
    if asked["line"]:
        answer("(line)", run_it(asked["line"], names))
    for name in asked["inner"]:
        if time.monotonic() > end:
            break
        answer(name, import_it(name, {}))
    answers.close()
    os._exit(0)  # threads and hooks of what was imported are not waited for


def add_site_folder(folder: str) -> None:
    """Put the folder on sys.path as Lambda does, its .pth files included."""
    import site

    site.addsitedir(folder)


def import_it(name: str, names: "dict[str, Any]") -> "str | None":
    """Import a module and keep it under its name; return what went wrong.

    A folder without `__init__.py` is said, for any folder can be imported that way.
    """
    try:
        found = names[name] = importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - modules raise SystemExit, and worse
        return fault(error)
    return None if getattr(found, "__file__", None) else "a folder without __init__.py"


def run_it(line: str, names: "dict[str, Any]") -> "str | None":
    """Run the line with the modules in reach; return what went wrong."""
    try:
        exec(line, names)  # noqa: S102 - that is what this program is for
    except BaseException as error:  # noqa: BLE001 - packages raise SystemExit, and worse
        return fault(error)
    return None


def fault(error: BaseException) -> str:
    """Return an error in one line that is the same wherever the modules lie."""
    text = str(error).splitlines()
    return "%s: %s" % (type(error).__name__, text[0] if text else "")  # noqa: UP031 - old Pythons run this


if __name__ == "__main__":
    main()
