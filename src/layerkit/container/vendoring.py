"""Making a wheel that was built in an image run on the runtime: its tag, and the libraries it brings."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerkit.errors import BuildError
from layerkit.source_date import EPOCH
from layerkit.target import facts, present_libraries

if TYPE_CHECKING:
    from layerkit.container.sdist_build import Libraries
    from layerkit.target import Target


_SHOWN = 8


def runs_on(wheel: Path, libraries: Libraries, target: Target, folder: Path) -> Path:
    """Return the wheel as it runs on the target; one without ELF files as it is, another in `folder`.

    Raises BuildError when it needs what the runtime does not have, naming file and symbol version.
    """
    if not libraries.elf:
        return wheel
    folder.mkdir()
    known = facts()["runtimes"][target.runtime]
    request = {
        "wheel": str(wheel),
        "out": str(folder),
        "machine": target.machine,
        "root": str(libraries.root),
        "folders": libraries.folders,
        "glibc": target.glibc[1],
        "bounds": {"GLIBCXX": known["glibcxx"], "CXXABI": known["cxxabi"]},
        "present": sorted(present_libraries(target)),
    }
    answer = _graft(request, wheel.name)
    if "error" in answer:
        raise _refused(answer, wheel.name, target, known)
    return folder / Path(answer["wheel"]).name


def _graft(request: dict[str, Any], name: str) -> dict[str, Any]:
    """Run the program that does it, and return its answer."""
    import subprocess

    environment = {name: text for name, text in os.environ.items() if not name.startswith("AUDITWHEEL_")}
    command = [sys.executable, "-m", "layerkit.container.graft", json.dumps(request)]
    done = subprocess.run(  # noqa: S603 - our own program
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={**environment, "SOURCE_DATE_EPOCH": EPOCH},
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BuildError("auditwheel could not repair the wheel:\n" + "\n".join(said[-5:]), where=name)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _refused(answer: dict[str, Any], name: str, target: Target, known: dict[str, Any]) -> BuildError:
    """Return the error for a wheel that cannot run on the runtime."""
    has = f"{target.runtime} has glibc {'.'.join(map(str, target.glibc))} and GLIBCXX {known['glibcxx']}"
    shown = answer["details"][:_SHOWN]
    more = len(answer["details"]) - len(shown)
    details = "".join(f"\n  {line}" for line in shown) + (f"\n  and {more} more" if more else "")
    return BuildError(
        f"{answer['error']}: {has}{details}",
        where=name,
        fix="build it in an image with the runtime's own glibc, or an older one: build-images in"
        " [tool.layerkit.docker]",
    )
