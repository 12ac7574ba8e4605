"""The /opt of an image as files of a layer, read from the archive that the engine gives.

Whoever wrote the Dockerfile, or what it installed, may have put anything there, so it is read as any
foreign archive: only plain files below /opt pass. A layer has no links: a symbolic or hard link becomes
a copy of the file it leads to, or, for a folder, of the files in it, and has to lead to somewhere in
/opt. Left out is bytecode that goes by the dates of its source, which a layer does not keep.

Dates, owners, order and the permissions beyond "may be run" change nothing of what comes out.
"""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.archive import Piece
from layerkit.archive.names import bad_name, collisions
from layerkit.archive.problems import printable
from layerkit.container.links import Links
from layerkit.container.tarred import Stream
from layerkit.errors import BuildError, EngineError
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerkit.archive import Member
    from layerkit.archive.spool import Spool
    from layerkit.target import Target

ROOT = "opt"
_SHOWN = 10
_MOST_BYTES = 2 << 30
_HEAD = 32
_SET_IDS = 0o6000
# ELF header (gABI): magic, class and byte order, version; e_machine is a half word at 18.
_ELF, _MACHINE_AT = b"\x7fELF", slice(18, 20)
_MACHINES = {62: "x86_64", 183: "aarch64"}
# PEP 552: bit 0 of the second word says that bytecode goes by the source's hash, not by its date.
_BYTECODE, _FLAGS_AT = ".pyc", 4
_METADATA = re.compile(r"python/(?:lib/python3\.\d+/site-packages/)?[^/]+\.dist-info/METADATA")
_LONGEST_METADATA = 1 << 20


class Opt(Struct, kw_only=True):
    """The files of a layer, ready to be written from their spool.

    `metadata` is the content of each METADATA of a package by its path in the layer, `notes` are
    sentences about what became of the rest.
    """

    pieces: list[Piece] = field(default_factory=list)
    metadata: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(chunks: Iterable[bytes], spool: Spool, target: Target, where: str) -> Opt:
    """Return what the archive of /opt holds; contents lie in `spool`.

    Raises BuildError, under the name `where`, with all that cannot become a layer, and for an /opt
    without any file; EngineError for an archive that breaks off.
    """
    reading = _Reading(spool, target.machine, where)
    try:
        with tarfile.open(fileobj=Stream(chunks), mode="r|") as archive:
            for info in archive:
                reading.take(info, archive)
    except (tarfile.TarError, EOFError) as error:
        raise EngineError(f"the archive of /{ROOT} is broken: {error}", where=where) from error
    opt = reading.finish()
    if reading.faults:
        more = [f"and {len(reading.faults) - _SHOWN} more"] if len(reading.faults) > _SHOWN else []
        lines = [f"/{ROOT} of the image cannot become a layer", *reading.faults[:_SHOWN], *more]
        raise BuildError("\n    ".join(lines), where=where, fix="let the Dockerfile leave plain files there")
    if not opt.pieces:
        raise BuildError(f"the Dockerfile leaves no file in /{ROOT}", where=where)
    return opt


class _Reading:
    """One pass over the archive; gathers what is wrong while it goes."""

    def __init__(self, spool: Spool, machine: str, where: str) -> None:
        """Begin with nothing; `machine` is the one that binaries have to be for."""
        self._where = where
        self.faults: list[str] = []
        self._opt = Opt()
        self._spool, self._machine = spool, machine
        self._links: Links[Member] = Links(ROOT)
        self._left = _MOST_BYTES
        self._stale = 0

    def take(self, info: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        """Take one member; its content is read now."""
        name = self._name(info)
        if name is None or (not name and info.isdir()):
            return
        if self._links.has(name):
            self._fault(info, "is there twice")
        elif info.isdir():
            self._links.folder(name)
        elif info.issym():
            self._links.link(name, info.linkname)
        elif info.islnk():
            self._hard_link(name, info)
        elif info.isfile():
            self._file(name, info, archive)
        else:
            self._fault(info, "is a device, a pipe or the like")

    def finish(self) -> Opt:
        """Resolve the links, and return what becomes the layer."""
        files = self._links.files()
        self.faults += self._links.faults
        self._opt.pieces = [Piece.copy(self._spool, member, name) for name, member in files]
        self._opt.metadata = {
            name: content for name, content in self._opt.metadata.items() if self._links.has(name)
        }
        self.faults += self._bad_names([name for name, _ in files])
        if sum(member.size for _, member in files) > _MOST_BYTES:
            raise self._too_much()
        if copies := self._links.copied:
            size = sum(member.size for member in copies)
            self._opt.notes.append(
                f"a layer has no links: {len(copies)} files were copied for them, {size:,} bytes"
            )
        if self._stale:
            self._opt.notes.append(f"{self._stale} files of bytecode are left out: their dates are not kept")
        return self._opt

    def _name(self, info: tarfile.TarInfo) -> str | None:
        """Return the path below /opt, "" for /opt itself; None, and a fault, for any other place."""
        top, _, rest = info.name.rstrip("/").partition("/")
        if top == ROOT and not {"", ".", ".."}.intersection(rest.split("/") if rest else ()):
            return rest
        self._fault(info, f"does not lie in /{ROOT}")
        return None

    def _file(self, name: str, info: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        """Pack a file."""
        content = archive.extractfile(info)
        self._left -= info.size
        if content is None or self._left < 0:
            raise self._too_much()
        if info.mode & _SET_IDS:
            self._fault(info, "runs as another user (setuid, setgid), which a layer cannot keep")
        if info.size >= limit("unzipped_bytes"):
            self._fault(info, f"has {info.size:,} bytes, alone more than Lambda takes")
            return
        whole = content.read()
        if name.endswith(_BYTECODE) and whole[_FLAGS_AT:][:1] != b"\x01":
            self._stale += 1
            return
        if fault := self._foreign(whole[:_HEAD]):
            self._fault(info, fault)
        if _METADATA.fullmatch(name) and info.size <= _LONGEST_METADATA:
            self._opt.metadata[name] = whole
        member = self._spool.add(name, whole, executable=bool(info.mode & 0o111))
        self._links.file(name, member)

    def _foreign(self, head: bytes) -> str | None:
        """Say what is wrong with a binary that is not for the target's machine."""
        if not head.startswith(_ELF):
            return None
        machine = _MACHINES.get(int.from_bytes(head[_MACHINE_AT], "little"), "another machine")
        return None if machine == self._machine else f"is for {machine}, the target is {self._machine}"

    def _hard_link(self, name: str, info: tarfile.TarInfo) -> None:
        """Take a second name of a file that came before."""
        top, _, rest = info.linkname.lstrip("/").partition("/")
        if top != ROOT or not self._links.again(name, rest):
            self._fault(info, f"is a hard link to {printable(info.linkname)}, which is no file in /{ROOT}")

    def _too_much(self) -> BuildError:
        return BuildError(f"/{ROOT} has more than {_MOST_BYTES:,} bytes", where=self._where)

    def _fault(self, info: tarfile.TarInfo, text: str) -> None:
        self.faults.append(f"/{printable(info.name)} {text}")

    @staticmethod
    def _bad_names(names: list[str]) -> Iterator[str]:
        for name in names:
            if problem := bad_name(name):
                yield f"/{ROOT}/{printable(name)} {problem.text}"
        for problem in collisions(names):
            yield f"/{ROOT}/{printable(problem.member or '')} {problem.text}"
