"""What a shared library or program says of itself, as the dynamic loader reads it (pyelftools).

Everything is taken from the program headers and the dynamic table, never from the section headers: a
file may have lost those and be loaded all the same. Layouts of the version tables are those of the Linux
Standard Base 5.0, core, 10.7 (https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/).
"""

from __future__ import annotations

import re
import struct
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x7fELF"
_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_386": "i386", "EM_ARM": "arm"}
_LOADED = frozenset({"ET_EXEC", "ET_DYN"})
_EXECUTABLE = 1  # p_flags
_TEXTREL = 4  # DF_TEXTREL, a bit of DT_FLAGS
_SEGMENTS = 256  # ten or so are usual
_MANY = 4096  # libraries or versions that no file asks for
_LONGEST = 64 << 20  # bytes of names that are looked at
# versions, entries of it, file name, offset of the entries, offset of the next
_NEED = struct.Struct("<HHIII")
# hash, flags, other, name, offset of the next
_VERSION = struct.Struct("<IHHII")
_INIT = re.compile(rb"\0PyInit_(\w+)(?=\0)")


class Elf(Struct, frozen=True, kw_only=True):
    """One file that a loader would map.

    `machine` is as wheels call it; `needed` are sonames; `rpath` and `runpath` folders as they are written,
    `$ORIGIN` among them; `versions` pairs of a soname and the version of a symbol needed from it;
    `modules` the Python modules that it has an init function for.
    """

    machine: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    modules: tuple[str, ...] = ()
    executable_stack: bool = False
    text_relocations: bool = False


class UnreadableElfError(Exception):
    """It begins like an ELF file and is none that can be read."""


def read(stream: IO[bytes]) -> Elf | None:
    """Return what the file says; None for one that no loader maps, such as an object file.

    Raises UnreadableElfError.
    """
    from elftools.elf.elffile import ELFFile

    try:
        file = ELFFile(stream)
        if file.header["e_type"] not in _LOADED:
            return None
        return _read(file, stream)
    except UnreadableElfError:
        raise
    except Exception as error:  # pyelftools raises what it meets: its own errors, and those of any parser
        raise UnreadableElfError(str(error) or type(error).__name__) from error


def _read(file: Any, stream: IO[bytes]) -> Elf:
    machine = str(file.header["e_machine"])
    name = _MACHINES.get(machine, machine.removeprefix("EM_").lower())
    if name == "x86_64" and file.elfclass == 32:  # noqa: PLR2004 - bits
        name = "x32"
    if file.num_segments() > _SEGMENTS:
        raise UnreadableElfError("it has hundreds of segments")
    segments = list(file.iter_segments())
    stacks = [one["p_flags"] for one in segments if one["p_type"] == "PT_GNU_STACK"]
    dynamic = [one for one in segments if one["p_type"] == "PT_DYNAMIC"]
    # What says nothing of its stack gets an executable one on x86-64, and not on arm64.
    executable = bool(stacks[0] & _EXECUTABLE) if stacks else name == "x86_64" and bool(dynamic)
    if not dynamic:
        return Elf(machine=name, executable_stack=executable)
    tags: dict[str, list[int]] = {}
    for count, tag in enumerate(dynamic[0].iter_tags()):
        tags.setdefault(str(tag.entry.d_tag), []).append(int(tag.entry.d_val))
        if count > _MANY:
            raise UnreadableElfError("it asks for thousands of libraries")
    names = _Names(segments, stream, tags)
    return Elf(
        machine=name,
        soname=next(iter(names.of("DT_SONAME")), None),
        needed=tuple(names.of("DT_NEEDED")),
        rpath=tuple(_folders(names.of("DT_RPATH"))),
        runpath=tuple(_folders(names.of("DT_RUNPATH"))),
        versions=tuple(dict.fromkeys(names.versions())),
        modules=names.modules(),
        executable_stack=executable,
        text_relocations="DT_TEXTREL" in tags or any(one & _TEXTREL for one in tags.get("DT_FLAGS", ())),
    )


def _folders(paths: Iterator[str]) -> Iterator[str]:
    for path in paths:
        yield from filter(None, path.split(":"))


class _Names:
    """The strings of a dynamic table, and the tables that refer to them."""

    def __init__(self, segments: list[Any], stream: IO[bytes], tags: dict[str, list[int]]) -> None:
        self._stream, self._tags = stream, tags
        loaded = [one for one in segments if one["p_type"] == "PT_LOAD"]
        self._mapped = [(one["p_vaddr"], one["p_filesz"], one["p_offset"]) for one in loaded]
        size = min(tags.get("DT_STRSZ", [0])[0], _LONGEST)
        self._table = self._at(tags["DT_STRTAB"][0], size) if size and "DT_STRTAB" in tags else b""

    def of(self, tag: str) -> Iterator[str]:
        """Yield the strings that the entries of one kind name."""
        for offset in self._tags.get(tag, ()):
            yield self._string(offset)

    def modules(self) -> tuple[str, ...]:
        """Return the modules that `PyInit_` functions are named after."""
        return tuple(sorted({match[1].decode() for match in _INIT.finditer(self._table)}))

    def versions(self) -> Iterator[tuple[str, str]]:
        """Yield soname and version of each entry of DT_VERNEED.

        Both chains are as long as the file says they are, but all in all no longer than any real one: entries
        that point to themselves would go on for hours.
        """
        if "DT_VERNEED" not in self._tags:
            return
        at, left = self._tags["DT_VERNEED"][0], _MANY
        for _ in range(min(self._tags.get("DT_VERNEEDNUM", [0])[0], _MANY)):
            _, count, library, entries, following = _NEED.unpack(self._at(at, _NEED.size))
            left -= count + 1
            if left < 0:
                raise UnreadableElfError("it asks for thousands of versions")
            entry = at + entries
            for _ in range(count):
                _, _, _, name, step = _VERSION.unpack(self._at(entry, _VERSION.size))
                yield self._string(library), self._string(name)
                entry += step
            at += following

    def _string(self, offset: int) -> str:
        end = self._table.find(b"\0", offset)
        if not 0 <= offset <= end:
            raise UnreadableElfError("a name lies outside of its table of names")
        return self._table[offset:end].decode("utf-8", "backslashreplace")

    def _at(self, address: int, size: int) -> bytes:
        """Return what is mapped at an address."""
        offset = -1
        for start, length, begin in self._mapped:
            if start <= address and address + size <= start + length:
                offset = begin + address - start
                break
        if offset < 0:
            raise UnreadableElfError("a table lies outside of what is mapped")
        self._stream.seek(offset)
        content = self._stream.read(size)
        if len(content) != size:
            raise UnreadableElfError("it ends before its tables do")
        return content
