"""The machine and the versions that stand above the figures."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path


def first_match(pattern: str, file: str) -> str | None:
    """Return the first group of the pattern in a file of /proc, None where there is none."""
    try:
        found = re.search(pattern, Path(file).read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None


def system() -> str:
    """Return the name of the operating system as it names itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def zip_version() -> str:
    """Return the version of Info-ZIP's zip."""
    if not shutil.which("zip"):
        return "absent"
    talk = subprocess.run(["zip", "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"This is Zip (\S+)", talk)
    return found[1] if found else "unknown"


def describe(runs: int, versions: dict[str, str]) -> str:
    """Return the list of facts: date, machine, Python, runs, tools."""
    processor = first_match(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.processor() or "unknown"
    memory = first_match(r"^MemTotal:\s*(\d+) kB$", "/proc/meminfo")
    size = f"{int(memory) * 1024 / 1e9:.0f} GB" if memory else "unknown"
    tools = ", ".join(f"{name} {version}" for name, version in (versions | {"zip": zip_version()}).items())
    facts = {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "processor": f"{processor}, {os.cpu_count()} cores, {platform.machine()}",
        "memory": size,
        "system": f"{system()}, kernel {platform.release()}",
        "Python of layerkit": platform.python_version(),
        "load at the end": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "runs": f"{runs}, the median is shown",
        "tools": tools,
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
