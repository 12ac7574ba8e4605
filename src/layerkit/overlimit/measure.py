"""How long unpacking takes: measured here, by the loader itself, on the frames that will be shipped."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import Struct, convert, to_builtins

from layerkit.archive import Archive, Run
from layerkit.cores import cores
from layerkit.overlimit import places

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from layerkit.prepare import PreparedWheel
    from layerkit.store import Store

_KIND, _SUFFIX = "starts", ".json"
_LOADER = Path(__file__).with_name("layerkit_loader")
_MEASURE = """\
import re, resource, sys, time
began = time.monotonic()
sys.path.insert(0, sys.argv[1])
import layerkit_loader as loader
took = time.monotonic() - began
assert not loader.bundle.missing(loader.bundle.units)
try:  # rusage counts the process that started this one
    with open("/proc/self/status") as status:
        peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read())[1]) * 1024
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(int(took * 1000), peak)
"""


class Start(Struct, frozen=True, kw_only=True):
    """How long the loader took here, on how many processors, and its largest memory in bytes."""

    milliseconds: int
    processors: int
    peak: int

    def text(self) -> str:
        """Return it as a sentence, against what Lambda allows."""
        return (
            f"unpacking took {self.milliseconds / 1000:.2f} s here, on {self.processors} processors and with"
            f" {self.peak / 1e6:.0f} MB of memory, of the 10 s that a function has to start;"
            " what its imports take comes on top"
        )


def measured(wheels: Collection[PreparedWheel], store: Store) -> str:
    """Return what unpacking these wheels at a start took here, now or when they were new: a sentence."""
    if any(wheel.remote for wheel in wheels):
        return "what unpacking takes was not measured: frames lie in S3"
    said = json.dumps([sorted(wheel.key for wheel in wheels), cores()])
    key = hashlib.sha256(said.encode()).hexdigest()
    if path := store.find(_KIND, key, _SUFFIX):
        try:
            return convert(json.loads(path.read_bytes()), Start).text()
        except (OSError, ValueError):
            store.evict(_KIND, key, _SUFFIX)
    try:
        found = _measure(wheels)
    except OSError as error:
        return f"what unpacking takes could not be measured: {error}"
    with store.publish(_KIND, key, _SUFFIX) as new:
        new.write_text(json.dumps(to_builtins(found)))
    return found.text()


def _measure(wheels: Iterable[PreparedWheel]) -> Start:
    """Lay the frames down beside the loader and start it; OSError where that fails."""
    import subprocess

    with TemporaryDirectory(prefix="layerkit-") as folder:
        site = Path(folder, "site")
        copytree(_LOADER, site / _LOADER.name, ignore=ignore_patterns("__pycache__"))
        (site / places.FOLDER).mkdir()
        for wheel in wheels:
            _lay_frames(wheel, site)
        environment = {**os.environ, "LAYERKIT_TMP": folder, "LAYERKIT_LAZY": "0"}
        done = subprocess.run(  # noqa: S603 - our own interpreter, our own code
            [sys.executable, "-I", "-c", _MEASURE, str(site)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise OSError(next((line for line in said if line.startswith("layerkit:")), said[-1]))
    milliseconds, peak = map(int, done.stdout.split())
    return Start(milliseconds=milliseconds, processors=cores(), peak=peak)


def _lay_frames(wheel: PreparedWheel, site: Path) -> None:
    """Write a wheel's index and frames below the folder of the modules."""
    with Archive.of_run(Run.open(wheel.path)) as archive:
        for member in archive.members:
            _, here, name = member.name.partition(f"/{places.FOLDER}/")
            if here:
                with (site / places.FOLDER / name).open("wb") as file:
                    for chunk in archive.chunks(member):
                        file.write(chunk)
