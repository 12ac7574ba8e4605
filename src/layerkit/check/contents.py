"""One walk over all members of a zip: every byte is read and proved, and what checks look at is kept.

No RECORD and no name is believed: a shared library is what begins like one.
"""

from __future__ import annotations

import re
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, cast

from msgspec import Struct, field

from layerkit import elf
from layerkit.archive import ArchiveError
from layerkit.check.findings import Finding, finding
from layerkit.check.words import some

if TYPE_CHECKING:
    from layerkit.archive import Archive, Member

_IN_MEMORY = 4 << 20  # bytes of a shared library that are held before it goes to a file
_LONGEST_TEXT = 1 << 20
_HEADER = 16  # of a .pyc: magic, flags, date and size, or a hash
# How a package says that it is spread over several folders (pkgutil, pkg_resources).
_EXTENDS = re.compile(rb"extend_path|declare_namespace")
_TEXT = re.compile(r"(.*/)?[^/]+\.(pth|egg-link)|(.*/)?[^/]+\.dist-info/(WHEEL|direct_url\.json)")


class Contents(Struct, frozen=True, kw_only=True):
    """What lies in one zip, by member name: ELF files, beginnings of bytecode, small texts that matter.

    `extending` are the `__init__` files of packages that are spread over several folders, `links`
    the paths that symbolic links stand for.
    """

    elves: dict[str, elf.Elf] = field(default_factory=dict)
    bytecode: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    extending: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def contents(archive: Archive) -> Contents:
    """Read every member once. One whose bytes are not what its headers say is a finding."""
    found = Contents()
    for member in archive.members:
        try:
            _member(archive, member, found)
        except ArchiveError as error:  # noqa: PERF203 - one damaged member hides no other
            text = str(error).removeprefix(f"{archive.name}: ")
            found.findings.append(finding("archive", archive.name, text, "build or download the zip again"))
    if found.links:
        text = f"{len(found.links)} symbolic links, which nothing here unpacks: {some([*found.links])}"
        fix = "put the files themselves in their place, to have their modules imported by a check"
        found.findings.append(finding("symbolic-link", archive.name, text, fix))
    return found


def _member(archive: Archive, member: Member, found: Contents) -> None:
    chunks = archive.chunks(member)
    first = next(chunks, b"")
    if member.link:
        found.links[member.name] = first.decode("utf-8", "replace")
        return
    if first.startswith(elf.MAGIC):
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            file.write(first)
            for chunk in chunks:
                file.write(chunk)
            _elf(archive, member, cast("IO[bytes]", file), found)
        return
    if member.name.endswith(".pyc"):
        found.bytecode[member.name] = first[:_HEADER]
    elif member.name.endswith("/__init__.py") and _EXTENDS.search(first):
        found.extending.add(member.name)
    elif _TEXT.fullmatch(member.name):
        found.texts[member.name] = first[:_LONGEST_TEXT]
    for _ in chunks:
        pass  # the last one proves size and CRC


def _elf(archive: Archive, member: Member, file: IO[bytes], found: Contents) -> None:
    try:
        read = elf.read(file)
    except elf.UnreadableElfError as error:
        where = f"{archive.name}: {member.name}"
        text = f"begins like a shared library, and cannot be read as one: {error}"
        found.findings.append(finding("elf-unreadable", where, text, "get the package again"))
        return
    if read is not None:
        found.elves[member.name] = read
