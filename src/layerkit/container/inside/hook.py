"""Calls one hook of a build backend (PEP 517).

    python hook.py BACKEND PATHS ANSWER HOOK [ARGUMENT ...]     PATHS is JSON: backend-path

What the hook returns is written to ANSWER as JSON, because backends print what they like; a hook that a
backend need not have and has not returns an empty list. The environment's own interpreter runs this in the
folder of the source, Python 3.6 to 3.14, with the standard library alone.
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Call the hook, and write what it returns."""
    backend, paths, answer, name = sys.argv[1:5]
    # The folder of this file is of no use to a backend, and its names would be in the way.
    sys.path[:1] = [os.path.abspath(path) for path in json.loads(paths)]
    module, _, attribute = backend.partition(":")
    found = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    hook = getattr(found, name) if name == "build_wheel" else getattr(found, name, list)
    returned = hook(*sys.argv[5:])  # type: object
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(returned, file)


if __name__ == "__main__":
    main()
