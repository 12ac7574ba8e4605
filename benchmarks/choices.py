"""The figures behind three choices of prepare: `python benchmarks/choices.py`.

How hard to compress, what to compress anew, and who strips: measured on the wheels of one set, which are
downloaded once. Seconds are of one core. Tools that are not on this machine are left out, by name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import deflate
from msgspec import Struct, field
from zlib_ng import zlib_ng

from environments import environment, program, runtime_python
from layerkit import record
from layerkit.archive import Archive
from layerkit.archive.layout import DEFLATED
from layerkit.archive.pieces import LEVEL
from layerkit.bytecode.compiler import Compiler
from layerkit.refine import SHARE, TRIED
from layerkit.strip import difference, strip
from layerkit.wheel import Wheel
from peers import PEERS
from sets import ROOTS, wheelhouse
from table import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerkit.archive import Member

_CHUNK = 1 << 20
LEVELS = (1, 5, 6, 7, 8, 9, 10, 12)


def say(text: str) -> None:
    """Talk on stderr: stdout is for the tables."""
    print(text, file=sys.stderr, flush=True)


class Contents(Struct, kw_only=True):
    """What lies in the wheels of a set, tests left out: content, and the bytes that its stream has there."""

    libraries: list[bytes] = field(default_factory=list)
    modules: list[bytes] = field(default_factory=list)
    kept: list[tuple[bytes, int]] = field(default_factory=list)


def contents(wheels: Iterable[Path]) -> Contents:
    """Read the wheels of a set."""
    found = Contents()
    for wheel in sorted(wheels):
        with Archive.open(wheel) as archive:
            for member in archive.members:
                if "/tests/" not in member.name:
                    _sort(found, member, archive.read(member))
    return found


def _sort(found: Contents, member: Member, content: bytes) -> None:
    if member.name.endswith(".so") and ".libs/" not in member.name:
        found.libraries.append(content)
        return
    if member.name.endswith(".py"):
        found.modules.append(content)
    found.kept.append((content, member.packed))


def bytecode(modules: list[bytes], python: str) -> list[bytes]:
    """Return the modules compiled."""
    with Compiler([python]) as compiler:
        return [code for code in compiler.compile([("/opt/x.py", one) for one in modules]) if code]


def levels(kinds: dict[str, list[bytes]]) -> str:
    """Return what each level of libdeflate gives for what is compressed anew."""
    rows = []
    for level in LEVELS:
        row = [str(level)]
        for contents in kinds.values():
            start = time.process_time()
            size = sum(len(deflate.deflate_compress(one, level)) for one in contents)
            row += [f"{size:,}", f"{time.process_time() - start:.2f}"]
        rows.append(row)
    head = ["level", *(cell for name in kinds for cell in (f"{name}, bytes", "s"))]
    return aligned(head, rows)


def anew(kept: list[tuple[bytes, int]], level: int) -> str:
    """Return what it wins to compress anew what is unchanged, by the least size and the least share."""
    rows = []
    tried = []
    for content, packed in kept:
        start = time.process_time()
        size = len(deflate.deflate_compress(content, level))
        tried.append((len(content), packed, size, time.process_time() - start))
    total = sum(packed for _, packed, _, _ in tried)
    for least in (0, 64 << 10, TRIED, 1 << 20):
        some = [one for one in tried if one[0] >= least]
        won = [
            sum(old - new for _, old, new, _ in some if new <= old * (1 - share))
            for share in (0, 0.01, SHARE, 0.05)
        ]
        seconds = sum(one[3] for one in some)
        rows.append([f"{least:,}", f"{seconds:.2f}", *(f"{one:,} ({one / total:.2%})" for one in won)])
    return aligned(
        ["tried from bytes", "s", "any gain", *(f"gain >= {one:.0%}" for one in (0.01, SHARE, 0.05))], rows
    )


def strippers(libraries: list[bytes], scratch: Path) -> str:
    """Return what each tool makes of the libraries: bytes saved, and how many it changed for a loader."""
    before, after = scratch / "before", scratch / "after"
    shutil.rmtree(scratch, ignore_errors=True)
    before.mkdir(parents=True)
    for number, content in enumerate(libraries):
        (before / f"{number}.so").write_bytes(content)
    rows = []
    for label, work in TOOLS.items():
        shutil.rmtree(after, ignore_errors=True)
        after.mkdir()
        start = time.perf_counter()
        try:
            work(before, after)
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"{label} left out: {error}")
            continue
        seconds = time.perf_counter() - start
        rows.append([label, *_judged(libraries, after), f"{seconds:.2f}"])
    return aligned(["tool", "stripped", "bytes saved", "other for a loader", "s"], rows)


def _judged(libraries: list[bytes], after: Path) -> tuple[str, str, str]:
    """Return how many libraries were stripped, the bytes saved, and how many a loader would see changed."""
    pairs = [(old, (after / f"{number}.so").read_bytes()) for number, old in enumerate(libraries)]
    done = [(old, new) for old, new in pairs if len(new) < len(old)]
    saved = sum(len(old) - len(new) for old, new in done)
    other = sum(difference(old, new) is not None for old, new in done)
    return str(len(done)), f"{saved:,}", str(other)


def verifying(wheels: Iterable[Path]) -> str:
    """Return what it takes to read all members of the wheels, and to hold them against RECORD as well."""
    inflated = verified = 0.0
    for path in sorted(wheels):
        wheel = Wheel.open(path, path.name)
        with Archive.open(path) as archive:
            begun = time.process_time()
            for member in archive.members:
                archive.read(member)
            between = time.process_time()
            for member in archive.members:
                record.verify(archive, member, wheel.recorded.get(member.name))
            inflated, verified = inflated + between - begun, verified + time.process_time() - between
    rows = [
        ["inflated, its size and CRC-32 held", f"{inflated:.2f}"],
        ["RECORD held as well", f"{verified:.2f}"],
    ]
    return aligned(["every member", "s"], rows)


def inflaters(wheels: Iterable[Path]) -> str:
    """Return what zlib and zlib-ng take to inflate the members of the wheels."""
    streams = []
    for path in wheels:
        with Archive.open(path) as archive:
            streams += [archive.raw(member) for member in archive.members if member.method == DEFLATED]
    rows = []
    for label, make in (("zlib", zlib.decompressobj), ("zlib-ng", zlib_ng.decompressobj)):
        begun = time.process_time()
        for stream in streams:
            inflate, rest = make(-zlib.MAX_WBITS), stream
            while not inflate.eof:
                inflate.decompress(rest, _CHUNK)
                rest = inflate.unconsumed_tail
        rows.append([label, f"{time.process_time() - begun:.2f}"])
    return aligned(["every stream", "s"], rows)


def own(before: Path, after: Path) -> None:
    """Strip as prepare does; what it leaves is copied."""
    for path in before.iterdir():
        content = path.read_bytes()
        (after / path.name).write_bytes(strip(content).content or content)


def each_by(*command: str) -> Callable[[Path, Path], None]:
    """Return a way to strip by a program that takes two names; what it refuses is copied."""

    def work(before: Path, after: Path) -> None:
        for path in before.iterdir():
            done = subprocess.run([*command, path, after / path.name], capture_output=True, check=False)
            if done.returncode:
                shutil.copyfile(path, after / path.name)

    return work


LIEF = """
import pathlib, sys, lief
for path in pathlib.Path(sys.argv[1]).iterdir():
    binary = lief.ELF.parse(str(path))
    binary.strip()
    binary.write(str(pathlib.Path(sys.argv[2], path.name)))
"""


def by_lief(before: Path, after: Path) -> None:
    """Strip by lief, in an environment of its own."""
    command = [program("uv"), "run", "--quiet", "--no-project", "--with", "lief", "python", "-c", LIEF]
    subprocess.run([*command, before, after], check=True)


TOOLS: dict[str, Callable[[Path, Path], None]] = {
    "layerkit": own,
    "binutils strip --strip-unneeded": each_by("sh", "-c", 'exec strip --strip-unneeded -o "$1" "$0"'),
    "llvm-objcopy --strip-all": each_by("llvm-objcopy", "--strip-all"),
    "lief": by_lief,
}


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description="The figures behind the choices of prepare.")
    parser.add_argument("--set", choices=[*ROOTS], default="data")
    name = parser.parse_args().set
    cache = Path(os.environ.get("LAYERKIT_BENCH_DIR") or Path(__file__).parent / ".cache").resolve()
    uv = program("uv")
    python = runtime_python(uv)
    pip = environment(next(peer for peer in PEERS if peer.name == "pip"), python, uv, cache)
    wheels = wheelhouse(name, cache, pip / "bin" / "python")
    found = contents(wheels.glob("*.whl"))
    stripped = [bytes(strip(one).content or one) for one in found.libraries]
    kinds = {"libraries": stripped, "bytecode": bytecode(found.modules, python or sys.executable)}
    print(f"## What verifying takes\n\n{verifying(wheels.glob('*.whl'))}\n")
    print(f"## Who inflates\n\n{inflaters(wheels.glob('*.whl'))}\n")
    print(f"## Levels of libdeflate\n\n{levels(kinds)}\n")
    print(f"## What is unchanged, compressed anew at level {LEVEL}\n\n{anew(found.kept, LEVEL)}\n")
    print(f"## Who strips\n\n{strippers(found.libraries, cache / 'scratch')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
