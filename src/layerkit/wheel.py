"""A wheel, read strictly: its name, tags, METADATA, RECORD and commands say one and the same thing.

Installers disagree on wheels that contradict themselves, so those are refused here, once, with every
reason at a time. The rules are those of the binary distribution format (PEP 427 and its successors on
packaging.python.org); where it leaves room, what the package indexes themselves refuse is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit import record, scheme, scripts
from layerkit.archive import Archive, ArchiveError, Problem
from layerkit.digests import sha256_of
from layerkit.errors import StorageError
from layerkit.metadata import Dependency, Metadata, dependencies, parse, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from email.message import Message
    from pathlib import Path

    from packaging.version import Version

    from layerkit.archive import Member

__all__ = ["Dependency", "Metadata", "Wheel", "dependencies", "file_sha256"]

# Far above any honest METADATA or RECORD (the longest RECORDs seen have some 20,000 rows).
_LONGEST_TEXT = 64 << 20
_REQUIRED = ("METADATA", "WHEEL", "RECORD")


class Wheel(Struct, frozen=True, kw_only=True):
    """What a wheel says of itself, checked against itself; its file is closed again.

    `name` is canonical, `version` normalised, `sha256` (hex) that of the file, `tags` those of its
    name, one by one. `dist_info` and `data` name its two special folders (`data` is None where there
    is none). `recorded` holds what RECORD says per member, `scripts` the commands of its entry points,
    `notes` what was odd and accepted. Hashes of members are not checked here (see `record.verify`).
    """

    name: str
    version: str
    filename: str
    path: Path
    sha256: str
    tags: frozenset[str]
    dist_info: str
    data: str | None
    root_is_purelib: bool
    metadata: Metadata
    scripts: tuple[scripts.Script, ...]
    members: tuple[Member, ...]
    recorded: Mapping[str, record.Recorded | None]
    notes: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, filename: str, sha256: str | None = None) -> Wheel:
        """Read the wheel in `path` that goes by `filename`; `sha256` (hex) is what the file must have.

        Raises WheelError with all its faults, StorageError where the file cannot be read.
        """
        with Archive.open(path, name=filename) as archive:
            return cls.read(archive, sha256)

    @classmethod
    def read(cls, archive: Archive, sha256: str | None = None) -> Wheel:
        """Read the wheel in an open archive, whose name is the file name; else as `open`."""
        found = archive.proved or file_sha256(archive.path)
        if sha256 is not None and found != sha256.lower():
            text = f"has the sha256 {found}, not the {sha256} it must have"
            raise ArchiveError(archive.name, [Problem(case="file-sha256", text=text)])
        reading = _Reading(archive)
        wheel = reading.wheel(found)
        if reading.problems:
            raise ArchiveError(archive.name, reading.problems)
        return wheel


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex, read in flat memory. Raises StorageError."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=path.name) from error


class _Reading:
    """One pass over an open archive; gathers what is wrong while it goes."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.by_name = {member.name: member for member in archive.members}
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        parsed = _file_name(archive.name)
        if parsed is None:
            problem = Problem(case="file-name", text="is no file name that a wheel can have")
            raise ArchiveError(archive.name, [problem])
        self.name, self.version, self.tags = parsed

    def wheel(self, sha256: str) -> Wheel:
        """Return the wheel, which is to be believed only if no problem was found."""
        folder, data = self.dist_info(), self.data_folder()
        texts = {name: self.text(folder, name) for name in (*_REQUIRED, "entry_points.txt")}
        metadata = self.metadata(texts["METADATA"], f"{folder}/METADATA")
        pure = self.wheel_file(texts["WHEEL"], f"{folder}/WHEEL")
        recorded = self.record(texts["RECORD"], folder)
        commands = self.commands(texts["entry_points.txt"], f"{folder}/entry_points.txt")
        self.landings(folder, data, commands)
        return Wheel(
            name=self.name,
            version=str(self.version),
            filename=self.archive.name,
            path=self.archive.path,
            sha256=sha256,
            tags=self.tags,
            dist_info=folder,
            data=data,
            root_is_purelib=pure,
            metadata=metadata,
            scripts=commands,
            members=self.archive.members,
            recorded=recorded,
            notes=(*self.archive.notes, *metadata.notes, *self.notes),
        )

    def refuse(self, case: str, text: str, member: str | None = None) -> None:
        """Keep a problem for the end."""
        self.problems.append(Problem(case=case, text=text, member=member))

    def dist_info(self) -> str:
        """Return the .dist-info folder; nothing more can be said of a wheel that has not exactly one."""
        found = self.folders(".dist-info")
        if not found:
            self.refuse("no-dist-info", "has no .dist-info folder")
        elif len(found) > 1:
            self.refuse("two-dist-infos", f"has more than one .dist-info folder: {', '.join(found)}")
        if len(found) != 1:
            raise ArchiveError(self.archive.name, self.problems)
        if not self.is_own(found[0].removesuffix(".dist-info")):
            self.refuse("dist-info-name", f"has a folder that does not fit its file name: {found[0]}")
        return found[0]

    def data_folder(self) -> str | None:
        """Return the .data folder, if there is one. Installers disagree on any other of that kind."""
        own: str | None = None
        for folder in self.folders(".data"):
            if own is not None or not self.is_own(folder.removesuffix(".data")):
                self.refuse("data-name", f"has a folder that does not fit its file name: {folder}")
            own = own or folder
        return own

    def folders(self, suffix: str) -> list[str]:
        """Return the top-level folders with that suffix, sorted."""
        tops = {name.partition("/")[0] for name in self.by_name if "/" in name}
        return sorted(top for top in tops if top.endswith(suffix))

    def is_own(self, stem: str) -> bool:
        """Tell whether `<name>-<version>` is the wheel's own, however it is spelled."""
        from packaging.utils import canonicalize_name

        name, _, version = stem.rpartition("-")
        return canonicalize_name(name) == self.name and self.same_version(version)

    def same_version(self, text: str) -> bool:
        from packaging.version import InvalidVersion, Version

        try:
            return Version(text) == self.version
        except InvalidVersion:
            return False

    def text(self, folder: str, name: str) -> bytes | None:
        """Return the bytes of a file in .dist-info, None where it is missing or cannot be read."""
        member = self.by_name.get(f"{folder}/{name}")
        if member is None:
            if name in _REQUIRED:
                self.refuse(f"no-{name.lower()}", f"has no {folder}/{name}")
            return None
        if member.size > _LONGEST_TEXT:
            self.refuse("text-too-long", f"has {member.size} bytes, which no such file needs", member.name)
            return None
        try:
            return self.archive.read(member)
        except ArchiveError as error:
            self.problems.extend(error.problems)
            return None

    def metadata(self, content: bytes | None, member: str) -> Metadata:
        """Read METADATA and hold it against the file name."""
        from packaging.utils import canonicalize_name

        metadata = parse(content or b"")
        if content is None:
            return metadata
        if canonicalize_name(metadata.name) != self.name:
            self.refuse(
                "metadata-name", f"says the name {metadata.name!r}, the file name {self.name!r}", member
            )
        if not self.same_version(metadata.version):
            text = f"says the version {metadata.version!r}, the file name {str(self.version)!r}"
            self.refuse("metadata-version", text, member)
        for fault in unreadable(metadata):
            self.refuse("metadata-requirement", fault, member)
        return metadata

    def wheel_file(self, content: bytes | None, member: str) -> bool:
        """Read WHEEL and hold it against the file name; return whether the root is pure."""
        from email.parser import HeaderParser

        if content is None:
            return False
        fields = HeaderParser().parsestr(content.decode("utf-8", "replace"))
        version = str(fields.get("Wheel-Version", "")).strip()
        if not re.fullmatch(r"1\.\d+", version):
            self.refuse("wheel-version", f"says Wheel-Version {version!r}, and only 1.x is known", member)
        tags = _tags(fields)
        if tags != self.tags and tags == _bare(self.tags):
            # Some projects (torch) rename what `setup.py bdist_wheel` made; pip and uv take the name's word.
            self.notes.append(f"{member} says {_listed(tags)}; the file was given its tags afterwards")
        elif tags != self.tags:
            text = f"says the tags {_listed(tags)}, the file name {_listed(self.tags)}"
            self.refuse("wheel-tags", text, member)
        return str(fields.get("Root-Is-Purelib", "")).strip().lower() == "true"

    def record(self, content: bytes | None, folder: str) -> dict[str, record.Recorded | None]:
        """Read RECORD and hold it against the members, all but their hashes."""
        if content is None:
            return {}
        recorded, problems = record.parse(content, folder)
        self.problems += problems
        if not any(problem.case == "record-unreadable" for problem in problems):
            self.problems += record.compare(recorded, self.by_name, folder)
        for name, row in recorded.items():
            member = self.by_name.get(name)
            if row and member and row.size not in {None, member.size}:
                self.refuse("record-size", f"has {member.size} bytes, and RECORD says {row.size}", name)
        return recorded

    def commands(self, content: bytes | None, member: str) -> tuple[scripts.Script, ...]:
        found, problems = scripts.read(content or b"", member)
        self.problems += problems
        return found

    def landings(self, folder: str, data: str | None, commands: Sequence[scripts.Script]) -> None:
        """Refuse what could not be installed on any target."""
        landings, problems = scheme.land(self.archive.members, data, scheme.ANYWHERE)
        names = [script.name for script in commands]
        kept, _ = scheme.without_wrappers(landings, names)
        self.problems += problems
        self.problems += scheme.clashes(kept, [f"{scheme.ANYWHERE.scripts}/{name}" for name in names])
        self.problems += scheme.foreign_dist_infos(kept, scheme.ANYWHERE.site, folder)


def _file_name(filename: str) -> tuple[str, Version, frozenset[str]] | None:
    """Return canonical name, version and tags from the name of a wheel file, None if it is none."""
    from packaging.utils import InvalidWheelFilename, is_normalized_name, parse_wheel_filename

    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    # packaging admits the letters of every script in a name, which no index does.
    return (name, version, frozenset(map(str, tags))) if is_normalized_name(name) else None


def _tags(fields: Message) -> frozenset[str]:
    """Return the tags in WHEEL, one by one; what is no tag stands for itself, and so fits nothing."""
    from packaging.tags import parse_tag

    found: set[str] = set()
    for line in fields.get_all("Tag", []):
        text = str(line).strip()
        try:
            found |= {str(tag) for tag in parse_tag(text)}
        except ValueError:
            found.add(text)
    return frozenset(found)


def _bare(tags: frozenset[str]) -> frozenset[str]:
    """Return the tags with the platform that a build on Linux has before anybody looked at its glibc."""
    return frozenset(re.sub(r"-(?:many|musl)linux[0-9_]*_(?=[a-z])", "-linux_", tag) for tag in tags)


def _listed(tags: frozenset[str]) -> str:
    return ", ".join(sorted(tags)) or "(none)"
