"""Lays finished zips down in the runtime's image as Lambda does.

    python unpack.py PLAN      PLAN is JSON: {"/opt": ["/layers/0.zip", ...], "/var/task": [...]}

The image's own interpreter runs this, Python 3.6 to 3.14, with the standard library alone. Each folder is
emptied first; then its zips are unpacked one over the other, a later file in place of an earlier one, with
the modes and dates they carry: what nobody but its owner may read is unreadable here, as it is on Lambda.
The zips passed the strict reader before they came here: no links, no path that leads out.
"""

import calendar
import json
import os
import shutil
import stat
import sys
import zipfile

_UNIX = 3
_CHUNK = 1 << 20


def empty(folder: str) -> None:
    """Remove all that is in a folder, which is where a volume hangs and has to stay."""
    os.makedirs(folder, exist_ok=True)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def unpack(path: str, folder: str) -> None:
    """Unpack one zip over what is in the folder already."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            goal = os.path.join(folder, info.filename)
            if info.filename.endswith("/"):
                make_folder(goal.rstrip("/"), folder)
                continue
            make_folder(os.path.dirname(goal), folder)
            clear(goal)
            with archive.open(info) as source, open(goal, "wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
            os.chmod(goal, mode(info))
            date = calendar.timegm((*info.date_time, 0, 0, 0))
            os.utime(goal, (date, date))


def make_folder(path: str, top: str) -> None:
    """Have a folder below `top`; a file of an earlier zip that is in the way is removed."""
    if os.path.isdir(path):
        return
    if path != top:
        make_folder(os.path.dirname(path), top)
    clear(path)
    os.mkdir(path)


def clear(path: str) -> None:
    """Remove what an earlier zip left at a path."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def mode(info: zipfile.ZipInfo) -> int:
    """Return the permissions of a member; those of a zip that was not made on Unix say nothing."""
    if info.create_system != _UNIX:
        return 0o644
    return stat.S_IMODE(info.external_attr >> 16) & 0o777


def main() -> None:
    """Lay down what the plan says."""
    os.umask(0o022)
    for folder, paths in json.loads(sys.argv[1]).items():
        empty(folder)
        for path in paths:
            unpack(path, folder)


if __name__ == "__main__":
    main()
