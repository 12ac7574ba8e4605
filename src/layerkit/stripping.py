"""Strip the shared libraries in a folder, and take back what `strip` spoiled.

`strip` is known to move the segments of libraries that patchelf has rewritten, which then load no
more. So the `*.libs` folders that auditwheel fills are left alone, and every other library is read again
afterwards: its loadable segments must be where they were.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from layerkit.errors import UsageError
from layerkit.folders import renew_records

__all__ = ["loadable", "strip_libraries"]

_LOAD = 1
_ELF64_LITTLE = b"\x7fELF\x02\x01"
_HEADERS = struct.Struct("<Q14xHH")  # e_phoff at 32; e_phentsize and e_phnum at 54
_SEGMENT = struct.Struct("<IIQQQQQQ")  # type, flags, offset, vaddr, paddr, filesz, memsz, align

Segment = tuple[int, int, int, int]


def strip_libraries(top: Path) -> list[str]:
    """Strip every shared library under `top` that can be stripped safely; return what happened."""
    if shutil.which("strip") is None:
        raise UsageError("there is no `strip` on this machine", fix="get it: apt-get install binutils")
    changed: list[Path] = []
    left: list[Path] = []
    saved = 0
    for path in sorted(top.rglob("*.so*")):
        if path.is_symlink() or not path.is_file() or any(part.endswith(".libs") for part in path.parts):
            continue
        if loadable(path.read_bytes()) is None:
            continue
        gain = _strip(path)
        (left if gain is None else changed).append(path)
        saved += gain or 0
    renew_records(top, changed)
    said = [f"left as it was, for strip would spoil it: {path}" for path in left]
    return [*said, f"stripped {len(changed)} libraries: {saved:,} bytes less"]


def loadable(content: bytes) -> tuple[Segment, ...] | None:
    """Return address, size in memory, flags and alignment of the segments that a loader maps.

    None for what is no 64-bit little-endian ELF, and for one whose segments no loader would map: each
    must lie in the file, at an offset that equals its address in the alignment.
    """
    if not content.startswith(_ELF64_LITTLE):
        return None
    try:
        start, size, count = _HEADERS.unpack_from(content, 32)
        segments = [_SEGMENT.unpack_from(content, start + index * size) for index in range(count)]
    except struct.error:
        return None
    found = []
    for kind, flags, offset, address, _, in_file, in_memory, align in segments:
        if kind == _LOAD:
            if offset + in_file > len(content) or (align > 1 and (offset - address) % align):
                return None
            found.append((address, in_memory, flags, align))
    return tuple(found) or None


def _strip(path: Path) -> int | None:
    """Strip one library in place; return the bytes that it is smaller, None where it had to stay."""
    before = path.read_bytes()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        done = subprocess.run(  # noqa: S603 - the user's own strip, on a file that was just read
            ["strip", "--strip-unneeded", "-o", name, os.fspath(path)],  # noqa: S607 - as the user has it
            capture_output=True,
            check=False,
        )
        after = draft.read_bytes()
        if done.returncode or loadable(after) != loadable(before):
            return None
        shutil.copymode(path, draft)
        draft.replace(path)
        return len(before) - len(after)
    finally:
        draft.unlink(missing_ok=True)
