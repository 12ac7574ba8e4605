"""Who made a container, a volume or an image: written on it as a label, read by the next run.

A process is named by its host, the host's boot, its number and the moment it started. A number alone
is used again by the system; with its start it is not. A thing of another host is never judged.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path

_UNKNOWN = "0"
_FIELDS = 4
# Fields of /proc/<pid>/stat after the name, which is in brackets (proc(5)): 22 is starttime, 3 the first.
_START = 22 - 3
_ENDED = ("Z", "X")


def mark() -> str:
    """Return the label's text for this process: `<host>.<boot>.<process>.<start>`."""
    return f"{_host()}.{_boot()}.{os.getpid()}.{_start(os.getpid()) or _UNKNOWN}"


def is_gone(text: str) -> bool:
    """Say whether the process that wrote a mark is certainly gone; never of another host's."""
    parts = text.split(".")
    if len(parts) != _FIELDS or not parts[2].isdigit() or parts[0] != _host():
        return False
    _, boot, process, start = parts
    if boot != _boot():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it is there, and somebody else's
    now = _start(int(process))
    return now is not None and start not in (_UNKNOWN, now)


@cache
def _host() -> str:
    """Name this machine, and within it the space that process numbers count in."""
    space = ""
    with contextlib.suppress(OSError):  # no Linux: there is one space
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path, a name such as pid:[4026531836]
    return hashlib.sha256(f"{os.uname().nodename} {space}".encode()).hexdigest()[:12]


@cache
def _boot() -> str:
    """Name the time since the machine was started, where the system tells (Linux)."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return _UNKNOWN
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _start(process: int) -> str | None:
    """Return when a process started, in ticks since the boot; None where nobody can say.

    Of one that ended and that nobody waited for it is "": its number is still taken, and it does nothing.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in _ENDED else fields[_START]
    except (OSError, IndexError):
        return None
