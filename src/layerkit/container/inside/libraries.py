"""Finds the shared libraries that the files of a wheel need, as the image's own loader finds them.

    python libraries.py WHEEL FOLDER ANSWER

The wheel is unpacked below FOLDER, and every library that its ELF files reach outside of it is copied to
FOLDER/root, at its own path and under its soname. The answer is a file of JSON: `elf` lists the ELF files of
the wheel, `folders` where libraries were found, `missing` what was found nowhere, and who needs it.

The image's own interpreter runs this, Python 3.6 to 3.14, with the standard library alone.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile

_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
_PLACES = ("/lib64", "/lib", "/usr/lib64", "/usr/lib")
_LINE = re.compile(r"^\s+(\S+) => (?:(/.+?) \(0x|not found)", re.MULTILINE)


def loader() -> str:
    """Return the path of the dynamic loader."""
    name = _LOADERS[platform.machine()]
    found = [os.path.join(place, name) for place in _PLACES if os.path.exists(os.path.join(place, name))]
    if not found:
        sys.exit("this image has no " + name + ": it is not one of glibc")
    return found[0]


def is_elf(path: str) -> bool:
    """Tell an ELF file by its first bytes."""
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def needed(path: str) -> list:  # type: ignore[type-arg] # list[...] is no Python 3.6
    """Return (soname, path) of each library that a file reaches; the path is empty where it is nowhere."""
    # As ldd does it: told to trace, the loader lists what it finds and what it does not, and runs nothing.
    done = subprocess.run(  # noqa: S603
        [loader(), path],
        env=dict(os.environ, LD_TRACE_LOADED_OBJECTS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return _LINE.findall(done.stdout.decode("utf-8", "replace"))


def keep(soname: str, path: str, root: str) -> str:
    """Copy a library below the root, at its own path, and return its folder."""
    folder = os.path.dirname(path)
    os.makedirs(root + folder, exist_ok=True)
    shutil.copyfile(path, os.path.join(root + folder, soname))
    return folder


def main() -> None:
    """Look at every file of the wheel, gather what they need, and write the answer."""
    wheel, folder, answer = sys.argv[1:]
    inner, root = os.path.join(folder, "wheel"), os.path.join(folder, "root")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(inner)
    files = sorted(os.path.join(top, name) for top, _, names in os.walk(inner) for name in names)
    own = {os.path.basename(path) for path in files}
    elf = [path for path in files if is_elf(path)]
    outside = [
        (file, *pair) for file in elf for pair in needed(file) if not pair[1].startswith(inner + os.sep)
    ]
    found = {
        "elf": [os.path.relpath(path, inner) for path in elf],
        "folders": sorted({keep(soname, path, root) for _, soname, path in outside if path}),
        "missing": sorted(
            os.path.relpath(file, inner) + " needs " + soname
            for file, soname, path in outside
            if not path and soname not in own
        ),
    }
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
