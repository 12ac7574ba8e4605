"""How much memory a process and its children use, asked of the system from time to time."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

_KIB = 1024
_PROC = Path("/proc")
# Asking `ps` starts a process: not more often than that, in seconds.
_PAUSE = 0.25


class Meter:
    """Watches one process and all that it starts."""

    def __init__(self, process: int) -> None:
        """Take the number of the process."""
        self._process = process
        self._asked = 0.0
        self.peak = 0

    def look(self) -> int:
        """Return the bytes that cannot be taken from them now, and remember the most that were in memory.

        Pages of files (libraries, the interpreter) count in `peak` alone: the system may drop them.
        """
        if Path(_PROC, "self/status").exists():
            held, resident = self._proc()
        elif time.monotonic() - self._asked < _PAUSE:
            return 0
        else:
            held = resident = self._ps()
            self._asked = time.monotonic()
        self.peak = max(self.peak, resident)
        return held

    def _proc(self) -> tuple[int, int]:
        """Ask Linux. What the process held at most between two looks is known for one that is alone."""
        held = resident = most = 0
        processes = _family(self._process)
        for number in processes:
            with suppress(OSError, ValueError):
                said = _status(number)
                held += said["RssAnon"] + said["RssShmem"]
                resident += said["VmRSS"]
                most = max(most, said["VmHWM"])
        return held, max(resident, most)

    def _ps(self) -> int:
        """Ask ps, where there is no /proc."""
        done = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,rss="],  # noqa: S607 - the system's
            capture_output=True,
            text=True,
            check=False,
        )
        rows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
        family = {self._process}
        for _ in rows:
            more = {number for number, parent, _ in rows if parent in family} - family
            if not more:
                break
            family |= more
        return sum(size for number, _, size in rows if number in family) * _KIB


def _family(process: int) -> list[int]:
    """Return a process and all that it started."""
    found, waiting = [], [process]
    while waiting:
        number = waiting.pop()
        found.append(number)
        with suppress(OSError):
            for thread in Path(_PROC, str(number), "task").iterdir():
                with suppress(OSError):
                    waiting += map(int, (thread / "children").read_text().split())
    return found


def _status(process: int) -> dict[str, int]:
    """Return what Linux says of a process's memory, in bytes."""
    sizes = dict.fromkeys(("RssAnon", "RssShmem", "VmRSS", "VmHWM"), 0)
    for line in Path(_PROC, str(process), "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * _KIB
    return sizes
