"""Asks a build backend what it requires to build a wheel (PEP 517, get_requires_for_build_wheel).

    python hook.py BACKEND PATHS ANSWER     PATHS is JSON, backend-path; the answer is a file of JSON

The environment's own interpreter runs this in the folder of the source, Python 3.6 to 3.14, with the
standard library alone. The answer is a file because backends print what they like.
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Ask, and write the answer."""
    backend, paths, answer = sys.argv[1:]
    # The folder of this file is of no use to a backend, and its names would be in the way.
    sys.path[:1] = [os.path.abspath(path) for path in json.loads(paths)]
    module, _, attribute = backend.partition(":")
    found = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    hook = getattr(found, "get_requires_for_build_wheel", None)
    names = list(hook(None)) if hook else []
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(names, file)


if __name__ == "__main__":
    main()
