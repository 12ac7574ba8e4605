"""Files as Lambda's Python meets them: modes, .pth files, bytecode nobody uses, editable leftovers."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from layerkit.check.findings import Finding, finding
from layerkit.check.words import count, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerkit.archive import Member
    from layerkit.check.search_path import Place
    from layerkit.target import Target

_OTHERS_READ, _OTHERS_ENTER = 0o4, 0o5
_EDITABLE = re.compile(r"(?:.*/)?(__editable__[^/]*|[^/]+\.egg-link|easy-install\.pth)")
_RUNS = re.compile(rb"^import[ \t]", re.MULTILINE)
_CACHED = re.compile(r"((?:.*/)?)__pycache__/([^/]+?)\.(cpython-\d+)(?:\.opt-\d)?\.pyc")
# The numbers at the beginning of bytecode, of the releases (importlib.util.MAGIC_NUMBER of each).
_MAGIC = {
    "3.6": 3379,
    "3.7": 3394,
    "3.8": 3413,
    "3.9": 3425,
    "3.10": 3439,
    "3.11": 3495,
    "3.12": 3531,
    "3.13": 3571,
}
_HEADER = 16
_INSTALL = "install the package itself: without -e, or its wheel"
_FOREIGN_ALONE = "alone"
_QUARTER = 900  # seconds: what all time zones are multiples of
_STEP = 2  # seconds: the resolution of dates in a zip


def check_modes(zip_: str, members: Sequence[Member], folders: Sequence[Member]) -> Iterator[Finding]:
    """Yield the files that the function's user may not read, and the folders that it may not enter."""
    closed = [one.name for one in members if not one.mode & _OTHERS_READ]
    closed += [one.name for one in folders if one.mode & _OTHERS_ENTER != _OTHERS_ENTER]
    if closed:
        text = f"{count(len(closed), 'place')} that only the owner may read, who is not the function:"
        fix = "chmod -R a+rX before zipping; with Python's zipfile, set external_attr to 0o644 << 16"
        yield finding("unreadable-mode", zip_, f"{text} {some(closed)}", fix)


def check_startup(
    places: Iterable[Place], texts: Mapping[tuple[str, str], bytes], paths: frozenset[str]
) -> Iterator[Finding]:
    """Yield the .pth files that Lambda runs, and what only makes sense where a package was developed.

    `texts` are the contents of small files by zip and member, `paths` all folders of the stack on Lambda.
    """
    for place in places:
        for name, file in place.files.items():
            content = texts.get((file.zip, file.member.name), b"")
            where = f"{file.zip}: {file.member.name}"
            if "/" not in name and name.endswith(".pth"):
                yield from _pth(where, place.folder, content, paths)
            if _EDITABLE.fullmatch(name) or (name.endswith("/direct_url.json") and _editable(content)):
                text = "an editable installation: it points to where the package was developed"
                yield finding("editable-leftover", where, text, _INSTALL)


def _pth(where: str, folder: str, content: bytes, paths: frozenset[str]) -> Iterator[Finding]:
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    added = [line for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
    gone = [line for line in added if line.startswith("/") and line.rstrip("/") not in paths]
    if gone:
        text = f"adds folders to sys.path that are not on Lambda: {some(gone)}"
        yield finding("editable-leftover", where, text, _INSTALL)
    runs = len(_RUNS.findall(content))
    if runs or added:
        does = (
            f"runs {count(runs, 'line')} of code"
            if runs
            else f"adds {count(len(added), 'folder')} to sys.path"
        )
        text = f"lies in {folder}, where it {does} at every start"
        yield finding("pth-runs", where, text, "nothing to do if that is wanted; else leave the file out")


def _editable(content: bytes) -> bool:
    try:
        said = json.loads(content)
        return bool(said["dir_info"].get("editable"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def check_bytecode(
    zip_: str, members: Sequence[Member], headers: Mapping[str, bytes], target: Target
) -> Iterator[Finding]:
    """Yield the bytecode that no import can use, counted by reason."""
    by_name = {one.name: one for one in members}
    reasons: Counter[str] = Counter()
    foreign: list[str] = []
    size = 0
    for name, header in headers.items():
        reason = _unused(name, header, by_name, target)
        if reason == _FOREIGN_ALONE:
            foreign.append(name)
        elif reason:
            reasons[reason] += 1
            size += by_name[name].size
    if reasons:
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        text = f"{reasons.total()} of {len(headers)} .pyc files are never used ({size:,} bytes): {listed}"
        fix = "compile with --invalidation-mode unchecked-hash for the runtime's Python, or leave them out"
        yield finding("stale-bytecode", zip_, text, fix)
    if foreign:
        text = f"modules have no source and bytecode of another Python: {some(foreign)}"
        yield finding("foreign-bytecode", zip_, text, f"compile for {target.runtime}, or ship the sources")


def _unused(name: str, header: bytes, members: Mapping[str, Member], target: Target) -> str | None:
    """Return why an import can never use a .pyc file; None where it may."""
    ours = _of(header, target)
    match = _CACHED.fullmatch(name)
    if match is None:
        return _beside(name, members, ours=ours)
    if match[3] != f"cpython-{target.minor.replace('.', '')}" or not ours:
        return "of another Python"
    source = members.get(f"{match[1]}{match[2]}.py")
    if source is None:
        return "without their sources"
    return _dated(header, source, target)


def _beside(name: str, members: Mapping[str, Member], *, ours: bool) -> str | None:
    """Say the same of one that lies where there may be no source."""
    if "/__pycache__/" in f"/{name}":
        return "with a name that no Python looks for"
    if name[:-1] in members:
        return "beside their sources"
    return None if ours else _FOREIGN_ALONE


def _dated(header: bytes, source: Member, target: Target) -> str | None:
    """Say the same of one that is held against its source by date and size (PEP 552)."""
    if target.minor == "3.6" or len(header) < _HEADER or header[4] & 1:
        return None
    date, size = (int.from_bytes(header[at : at + 4], "little") for at in (8, 12))
    if size != source.size & 0xFFFFFFFF:
        return "of sources of another size"
    return None if _may_be(date, source) else "with other dates than their sources"


def _of(header: bytes, target: Target) -> bool:
    """Tell whether bytecode is of the target's Python; True where nobody has written down its number."""
    known = _MAGIC.get(target.minor)
    return known is None or header[:4] == known.to_bytes(2, "little") + b"\r\n"


def _may_be(date: int, source: Member) -> bool:
    """Tell whether a source may get `date` when it is unpacked, in any time zone.

    A zip has even seconds, unless the exact date stands beside them, which not all who unpack heed.
    """
    day, time = source.stamp >> 16, source.stamp & 0xFFFF
    try:
        parts = (1980 + (day >> 9), day >> 5 & 15, day & 31, time >> 11, time >> 5 & 63, time % 32 * 2)
        written = int(datetime(*parts, tzinfo=timezone.utc).timestamp())
    except ValueError:
        return False
    off = (date - written) % _QUARTER
    near = min(off, _QUARTER - off) <= (_STEP if source.dated else 0)
    return near and abs(date - written) <= 15 * 3600
