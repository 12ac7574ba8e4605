"""What becomes of the content of a wheel's files: verified, stripped, compiled, compressed.

Every file is inflated once. Shared libraries and programs outside `*.libs` lose their symbol tables;
modules that can be imported get bytecode; what changed is compressed anew, and so is what the author
compressed badly. All else keeps the stream that it came with.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit import record, strip
from layerkit.archive import ArchiveError
from layerkit.archive.layout import STORED
from layerkit.archive.pieces import compressed
from layerkit.bytecode.places import NEEDS_SOURCES, beside, cached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerkit.archive import Archive, Member, Problem
    from layerkit.archive.pieces import Holder
    from layerkit.archive.spool import Spool
    from layerkit.scheme import Landing
    from layerkit.settings import Settings
    from layerkit.wheel import Wheel
    from layerkit.workshop import Workshop

# What is read at once, and so what compressing it anew can be tried on: nothing that Lambda takes needs more
# memory than this for each core, but for a library to be stripped, which has to be read as a whole.
WHOLE = 32 << 20
# What it takes for an unchanged file to be compressed anew: the bytes it has, unless it came uncompressed,
# and the part of its stream that it loses. Of a long stream the beginning is tried first, since most were
# compressed well enough. docs/prepared-wheels.md has the figures of other limits.
TRIED = 256 << 10
SHARE = 0.02
SAMPLE = 64 << 10
_BATCH = 2 << 20
_LIBRARIES = ".libs"


class File(Struct, frozen=True, kw_only=True):
    """A file of a layer: its sha256 digest, its size in bytes, and the stream that holds it."""

    path: str
    digest: bytes
    source: Holder
    member: Member
    executable: bool = False


class Refined(Struct, frozen=True, kw_only=True):
    """What became of one file of a wheel.

    `kept` is None where its bytecode alone stays, `bytecode` where it got none; `skipped` says that it
    should have got some. `saved` are the bytes that stripping took from it, `unstripped` why it could not.
    """

    path: str
    size: int
    kept: File | None
    bytecode: File | None = None
    skipped: bool = False
    saved: int = 0
    unstripped: str | None = None


class Refinery(Struct, frozen=True, kw_only=True):
    """One wheel at work: where it comes from, what is wanted, and what with."""

    wheel: Wheel
    archive: Archive
    site: str
    settings: Settings
    workshop: Workshop
    spool: Spool

    def refine(self, landings: Iterable[Landing]) -> list[Refined]:
        """Return what became of the files that land, in the order of their paths.

        All other members of the wheel are verified and no more. One thread reads the wheel from its
        beginning to its end; several begin with what takes longest. Raises ArchiveError with every member
        that is not what RECORD says.
        """
        places = {landing.member.name: landing for landing in landings}
        batches = list(_batches(self.wheel.members))
        if self.workshop.threads > 1:
            batches.sort(key=lambda batch: -sum(member.size for member in batch))
        done = self.workshop.spread(partial(self._batch, places), batches)
        if problems := [problem for finds in done for problem in finds.problems]:
            raise ArchiveError(self.wheel.filename, problems)
        return sorted((one for finds in done for one in finds.refined), key=lambda one: one.path)

    def _batch(self, places: Mapping[str, Landing], members: Iterable[Member]) -> _Finds:
        """Do what is to be done on some members; modules are compiled together, as one may leave traces."""
        finds = _Finds()
        modules: list[tuple[Landing, bytes, bytes]] = []
        for member in members:
            landing = places.get(member.name)
            try:
                if landing is None:
                    self._verified(member)
                elif self._compiles(landing):
                    modules.append((landing, *self._whole(member)))
                else:
                    finds.refined.append(self._file(landing))
            except ArchiveError as error:
                finds.problems.extend(error.problems)
        codes = self.workshop.compile([(f"/opt/{one.path}", content) for one, _, content in modules])
        for (landing, digest, content), code in zip(modules, codes, strict=True):
            finds.refined.append(self._module(landing, digest, content, code))
        return finds

    def _module(self, landing: Landing, digest: bytes, content: bytes, code: bytes | None) -> Refined:
        """Return a module and its bytecode, or one of them."""
        alone = self.settings.bytecode == "only" and self.wheel.name not in NEEDS_SOURCES
        path, size = landing.path, landing.member.size
        if code is None or self.settings.interpreter is None:
            return Refined(path=path, size=size, kept=self._kept(landing, digest, content), skipped=True)
        place = beside(path) if alone else cached(path, self.settings.interpreter.tag)
        kept = None if alone else self._kept(landing, digest, content)
        return Refined(path=path, size=size, kept=kept, bytecode=self._new(place, code))

    def _file(self, landing: Landing) -> Refined:
        """Return a file as it is, or stripped."""
        member, path = landing.member, landing.path
        strippable = self.settings.strip and not _bundled(path)
        whole = strippable and member.size > WHOLE and self._begins(member, strip.MAGIC)
        digest, content = self._whole(member) if whole else self._verified(member, WHOLE)
        stripped = strip.strip(content) if strippable and content is not None else strip.Stripped()
        if stripped.content is None:
            kept = self._kept(landing, digest, content)
            return Refined(path=path, size=member.size, kept=kept, unstripped=stripped.reason)
        kept = self._new(path, stripped.content, executable=_executable(landing))
        return Refined(path=path, size=member.size, kept=kept, saved=member.size - len(stripped.content))

    def _verified(self, member: Member, keep: int = 0) -> tuple[bytes, bytes | None]:
        return record.verify(self.archive, member, self.wheel.recorded.get(member.name), keep=keep)

    def _whole(self, member: Member) -> tuple[bytes, bytes]:
        digest, content = self._verified(member, member.size)
        return digest, content or b""

    def _begins(self, member: Member, magic: bytes) -> bool:
        return next(iter(self.archive.chunks(member)), b"").startswith(magic)

    def _kept(self, landing: Landing, digest: bytes, content: bytes | None) -> File:
        """Return a file with the stream that it came with, or a better one."""
        member, found = landing.member, None
        if content and len(content) <= WHOLE and self._compressed_badly(member, content):
            found = self.spool.repack(member, content, int(member.packed * (1 - SHARE)))
        return File(
            path=landing.path,
            digest=digest,
            source=self.spool if found else self.archive,
            member=found or member,
            executable=_executable(landing),
        )

    def _compressed_badly(self, member: Member, content: bytes) -> bool:
        """Say whether it may be worth the time to compress an unchanged file anew."""
        if member.method == STORED:
            return True
        if len(content) < TRIED or member.packed <= SAMPLE:
            return len(content) >= TRIED
        sample = content[: self.archive.reach(member, SAMPLE)]
        return len(compressed(sample)[1]) <= SAMPLE * (1 - SHARE)

    def _new(self, path: str, content: bytes | bytearray, *, executable: bool = False) -> File:
        """Return a file of new content."""
        member = self.spool.add(path, content)
        digest = hashlib.sha256(content).digest()
        return File(path=path, digest=digest, source=self.spool, member=member, executable=executable)

    def _compiles(self, landing: Landing) -> bool:
        """Say whether a file gets bytecode: a module that an import statement can name."""
        inside = landing.path.removeprefix(f"{self.site}/")
        if self.settings.interpreter is None or inside == landing.path or landing.member.size > WHOLE:
            return False
        *folders, name = inside.split("/")
        stem = name.removesuffix(".py")
        return stem != name and all(part.isidentifier() for part in (*folders, stem))


class _Finds(Struct, frozen=True, kw_only=True):
    """What work on a batch gave: files, and what is wrong with the wheel."""

    refined: list[Refined] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def _batches(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Yield the members in stretches that are worth a turn of a thread; the machine has no say in it."""
    batch: list[Member] = []
    total = 0
    for member in members:
        batch.append(member)
        total += member.size
        if total >= _BATCH:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _executable(landing: Landing) -> bool:
    """Say whether a file can be run: what came as a script can, whatever its mode in the wheel."""
    return landing.script or landing.member.executable


def _bundled(path: str) -> bool:
    """Say whether a file is one of the libraries that auditwheel gathered and patched: never touched."""
    return any(folder.endswith(_LIBRARIES) for folder in path.split("/")[:-1])
