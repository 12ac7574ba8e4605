"""Memory and /tmp as a function on Lambda has them: a limit above which it is killed, and a disk of its own.

Lambda's /tmp is a disk; one in memory would count as memory of the function. Needs root, a memory cgroup that
may have children, loop devices and mkfs.ext4; `unconfined()` says what is not there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUPS = Path("/sys/fs/cgroup")


@cache
def unconfined() -> str | None:
    """Return what keeps functions from being confined here, or None."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("mkfs.ext4", path=_path()) is None:
        return "there is no mkfs.ext4"
    try:
        with memory_limit(64 << 20), tempfile.TemporaryDirectory() as name:
            mount = [
                "unshare",
                "--mount",
                "mount",
                "-o",
                "loop",
                str(disk(Path(name, "disk"), 4 << 20)),
                name,
            ]
            subprocess.run(mount, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return str(error)
    return None


@contextmanager
def memory_limit(size: int) -> Iterator[Path]:
    """Make a group of processes that may have so many bytes in memory; yield the file that joins it.

    Raises OSError where there is none to be had.
    """
    old = (_GROUPS / "memory").is_dir()
    group = Path(tempfile.mkdtemp(prefix="layerkit-", dir=_GROUPS / "memory" if old else _GROUPS))
    try:
        (group / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(size))
        for swap, most in (("memory.memsw.limit_in_bytes", size), ("memory.swap.max", 0)):
            if (group / swap).exists():
                (group / swap).write_text(str(most))
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """End what is left in a group, and remove it."""
    for _ in range(50):
        with suppress(OSError):
            for process in (group / "cgroup.procs").read_text().split():
                os.kill(int(process), signal.SIGKILL)
            group.rmdir()
            return
        time.sleep(0.1)
    group.rmdir()


def disk(path: Path, size: int) -> Path:
    """Make a disk of so many bytes in the file `path`, empty, for `mount -o loop`."""
    with path.open("wb") as file:
        file.truncate(size)
    command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(path)]
    subprocess.run(command, env={"PATH": _path()}, capture_output=True, check=True)
    return path


def _path() -> str:
    """Return where programs of the system are looked for; not every user's PATH has all of it."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
