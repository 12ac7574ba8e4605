"""Says what an image of a runtime holds: its packages and its shared libraries.

    python holdings.py PLAN       PLAN is JSON: folders of packages and of libraries; the answer is JSON

The image's own interpreter runs this, whichever it is: Python 3.6 to 3.14, the standard library and
nothing else. Nothing of what is found is imported.
"""

import json
import os
import re
import sys

METADATA = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
LIBRARY = re.compile(r"(?:lib|ld-).+\.so(?:\.[0-9]+)*")
NAME, VERSION = re.compile(r"(?mi)^Name:\s*(\S+)"), re.compile(r"(?mi)^Version:\s*(\S+)")


def entries(folder: str) -> "list[str]":
    """Return what lies in a folder, nothing where there is none."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def packages(folder: str) -> "dict[str, str]":
    """Return name -> version of the packages that are installed in a folder."""
    found = {}
    for entry in entries(folder):
        info = METADATA.get(os.path.splitext(entry)[1])
        path = os.path.join(folder, entry, info or "")
        if info and os.path.isfile(path):
            with open(path, "rb") as file:
                header = file.read().decode("utf-8", "replace").partition("\n\n")[0].replace("\r", "")
            name, version = NAME.search(header), VERSION.search(header)
            if name and version:
                found[name.group(1)] = version.group(1)
    return found


def main(plan: "dict[str, list[str]]") -> "dict[str, object]":
    """Return what the image holds; of two packages of a name the one in the earlier folder counts."""
    held: dict[str, str] = {}
    for folder in reversed(plan["packages"]):
        held.update(packages(folder))
    libraries: set[str] = set()
    for folder in plan["libraries"]:
        libraries.update(entry for entry in entries(folder) if LIBRARY.fullmatch(entry))
    return {"packages": held, "libraries": sorted(libraries)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
