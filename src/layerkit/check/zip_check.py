"""Finished zips, read again: the packages in them, their sizes, and where their files would land."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit.archive import Archive, ArchiveError
from layerkit.check.contents import Contents, contents
from layerkit.check.elf_check import Binary, check_elves
from layerkit.check.findings import Finding, Subject, finding
from layerkit.check.layout_check import check_bytecode, check_modes, check_startup
from layerkit.check.packages_check import check_hidden
from layerkit.check.requirements_check import Installed
from layerkit.check.search_path import File, folders, places
from layerkit.check.tag_check import check_suffixes, check_tags
from layerkit.check.words import count, some
from layerkit.errors import WheelError
from layerkit.metadata import dependencies, parse
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from layerkit.archive import Entry, Member
    from layerkit.metadata import Dependency
    from layerkit.target import Target

# What Lambda looks into below /opt: sys.path, PATH, LD_LIBRARY_PATH, and the extensions it starts; and
# where programs look that lie in bin/ beside it.
_LOOKED_INTO = ("python/", "bin/", "lib/", "extensions/", "share/", "etc/", "libexec/")
# Where a wheel has what an installer puts elsewhere, https://packaging.python.org/en/latest/specifications/
# binary-distribution-format/#the-data-directory
_DATA = re.compile(
    r"((?:python/(?:lib/python\d+\.\d+/site-packages/)?)?[^/]+-[^/]+\.data/(?:purelib|platlib|scripts|headers|data)/)"
)
_VERSIONED = re.compile(r"python/lib/python(\d+\.\d+)/")


class ReadZip(Struct, frozen=True, kw_only=True):
    """A zip that was read: file name, bytes of the file, members, packages, and what was wrong in it."""

    name: str
    zipped: int
    members: tuple[Member, ...] = ()
    folders: tuple[Member, ...] = ()
    packages: tuple[Installed, ...] = ()
    findings: tuple[Finding, ...] = ()
    inside: Contents = field(default_factory=Contents)

    @property
    def unzipped(self) -> int:
        """Return the sum of the members' sizes, which is what Lambda counts."""
        return sum(member.size for member in self.members)

    def subject(self) -> Subject:
        """Return what a report says of the zip."""
        packages = len({each.name for each in self.packages})
        return Subject(name=self.name, zipped=self.zipped, unzipped=self.unzipped, packages=packages)


def read_zip(path: Path, target: Target, *, code: bool, name: str | None = None) -> ReadZip:
    """Read a layer's zip, or with `code` a function's, whose packages lie at its root.

    `name` is what findings call it, its file name by default.

    Raises StorageError where the file cannot be read; a zip that is refused is a finding.
    """
    name = name or path.name
    try:
        with Archive.open(path, name=name, links=True) as archive:
            found = packages(archive, target, code=code)
            inside = contents(archive)
            size = path.stat().st_size
            return ReadZip(
                name=name,
                zipped=size,
                members=archive.members,
                folders=archive.folders,
                packages=tuple(each for each in found if isinstance(each, Installed)),
                findings=tuple(each for each in found if isinstance(each, Finding)),
                inside=inside,
            )
    except ArchiveError as error:
        text = str(error).removeprefix(f"{name}: ")
        refused = finding("archive", name, text, "build or download the zip again")
        return ReadZip(name=name, zipped=path.stat().st_size, findings=(refused,))


def packages(archive: Archive, target: Target, *, code: bool) -> tuple[Installed | Finding, ...]:
    """Return the packages of a zip, those that are imported from last: the last one counts."""
    return tuple(_packages(archive, target, code=code))


def _packages(archive: Archive, target: Target, *, code: bool) -> Iterator[Installed | Finding]:
    folders = ["/" + target.site_packages(layout) for layout in ("flat", "versioned")]
    for folder in [""] if code else folders:
        pattern = re.compile(re.escape(f"{folder}/"[1:]) + r"([^/]+)\.dist-info/METADATA")
        for member in archive.members:
            if match := pattern.fullmatch(member.name):
                yield from _package(archive, member, match[1], target)


def _package(archive: Archive, member: Member, folder: str, target: Target) -> Iterator[Installed | Finding]:
    """Yield the package that METADATA describes; its folder's name helps out where a field is missing."""
    from packaging.utils import canonicalize_name

    metadata = parse(archive.read(member))
    stem, _, version = folder.partition("-")
    name = canonicalize_name(metadata.name or stem)
    requires: tuple[Dependency, ...] = ()
    try:
        requires = dependencies(metadata, target)
    except WheelError as error:
        where, fix = f"{archive.name}: {member.name}", f"ask the authors of {name} to correct it"
        yield finding("unreadable-metadata", where, error.what, fix)
    version = metadata.version or version
    yield Installed(name=name, version=version, requires=requires, layer=archive.name)


def check_files(layers: Sequence[ReadZip], code: Sequence[ReadZip], target: Target) -> Iterator[Finding]:
    """Yield what is wrong with the files of a stack: sizes, count, collisions, places, binaries."""
    every = (*layers, *code)
    yield from _limits(layers, code)
    for each in every:
        yield from each.inside.findings
        yield from check_modes(each.name, each.members, each.folders)
        yield from check_tags(each.name, each.inside.texts, target)
        yield from check_suffixes(each.name, [member.name for member in each.members], target)
        yield from check_bytecode(each.name, each.members, each.inside.bytecode, target)
    files = stack_files(layers, code)
    inside = {each.name: each.inside for each in every}
    texts = {(name, path): text for name, one in inside.items() for path, text in one.texts.items()}
    found = places(files, target)
    yield from check_startup(found, texts, folders(files))
    yield from check_hidden(found)
    yield from check_elves(_binaries(files, inside), target)
    yield from path_collisions({layer.name: layer.members for layer in layers})
    for each in every:
        yield from _empty(each)
        yield from _not_installed(each)
    for layer in layers:
        yield from _unreachable(layer, target)


def stack_files(layers: Sequence[ReadZip], code: Sequence[ReadZip]) -> dict[str, File]:
    """Return the files of a stack by their paths on Lambda; a later layer replaces an earlier one's."""
    tops = [("/opt", each) for each in layers] + [("/var/task", each) for each in code]
    return {
        f"{top}/{member.name}": File(
            zip=each.name, member=member, extends=member.name in each.inside.extending
        )
        for top, each in tops
        for member in each.members
    }


def _binaries(files: Mapping[str, File], inside: Mapping[str, Contents]) -> dict[str, Binary]:
    """Return the ELF files of a stack by their paths on Lambda."""
    found = {
        path: Binary(zip=file.zip, elf=elf)
        for path, file in files.items()
        if (elf := inside[file.zip].elves.get(file.member.name))
    }
    links = {
        path: posixpath.normpath(f"{posixpath.dirname(path)}/{link}")
        for path, file in files.items()
        if (link := inside[file.zip].links.get(file.member.name))
    }
    for path, goal in links.items():
        # A chain of links is as long as there are links at most.
        for _ in links:
            goal = links.get(goal, goal)  # noqa: PLW2901 - one step along the chain
        if goal in found:
            found[path] = found[goal]
    return found


def _limits(layers: Sequence[ReadZip], code: Sequence[ReadZip]) -> Iterator[Finding]:
    every = [*layers, *code]
    allowed, total = limit("unzipped_bytes"), sum(each.unzipped for each in every)
    if total >= allowed:
        parts = ", ".join(f"{each.name} {each.unzipped:,}" for each in every)
        text = f"{total:,} bytes unzipped, {total - allowed + 1:,} more than Lambda takes: {parts}"
        yield finding("unzipped-limit", "the stack", text, "leave packages out, or split the function")
    most = limit("layers_per_function")
    if len(layers) > most:
        text = f"{len(layers)} layers, Lambda takes {most}"
        yield finding("layer-count", "the stack", text, "merge layers that are always used together")
    direct = limit("direct_upload_bytes")
    for each in every:
        if each.zipped > direct:
            text = f"{each.zipped:,} bytes, above the {direct:,} of a direct upload"
            yield finding("direct-upload", each.name, text, "upload it to S3 and publish it from there")


def path_collisions(layers: Mapping[str, Iterable[Member | Entry]]) -> Iterator[Finding]:
    """Yield the pairs of layers that have a path with different content, and which of the two wins.

    `layers` are names and files, the lowest first.
    """
    owner: dict[str, tuple[str, int, int]] = {}
    replaced: dict[tuple[str, str], list[str]] = {}
    for layer, members in layers.items():
        for member in members:
            new = (layer, member.crc, member.size)
            old = owner.setdefault(member.name, new)
            owner[member.name] = new
            if old[1:] != new[1:] and old[0] != layer:
                replaced.setdefault((old[0], layer), []).append(member.name)
    for (loser, winner), names in replaced.items():
        text = f"{winner} comes later and replaces {count(len(names), 'file')} of {loser}: {some(names)}"
        fix = "keep each file in one layer, or put the layer that shall win last"
        yield finding("path-collision", f"{loser}, {winner}", text, fix)


def _empty(zip_: ReadZip) -> Iterator[Finding]:
    """Yield that a zip has nothing in it; one that was refused says so itself."""
    if not zip_.members and not zip_.folders and not any(each.code == "archive" for each in zip_.findings):
        yield finding("empty-zip", zip_.name, "there is nothing in it", "leave it out, or build it again")


def _not_installed(zip_: ReadZip) -> Iterator[Finding]:
    """Yield the .data folders of wheels that were unzipped where they should have been installed."""
    found = [match[1] for member in zip_.members if (match := _DATA.match(member.name))]
    if found:
        text = f"{count(len(found), 'file')} left in what a wheel carries to be installed elsewhere:"
        fix = "unzipping a wheel does not install it: `layerkit build`, or pip install --target"
        yield finding("unreachable-files", zip_.name, f"{text} {some(sorted(set(found)))}", fix)


def _unreachable(layer: ReadZip, target: Target) -> Iterator[Finding]:
    """Yield one finding for all files of a layer that nothing on Lambda looks for."""
    groups: dict[str, int] = {}
    for member in layer.members:
        if folder := _unreachable_folder(member.name, target):
            groups[folder] = groups.get(folder, 0) + 1
    if groups:
        lie = count(sum(groups.values()), "file")
        text = f"{lie} where Lambda does not look: {some(sorted(groups))}"
        fix = f"packages belong into python/ or {target.site_packages('versioned')}/, programs into bin/"
        yield finding("unreachable-files", layer.name, text, f"{fix}, shared libraries into lib/")


def _unreachable_folder(name: str, target: Target) -> str | None:
    """Return the folder, or the file at the root, that makes a file unreachable; None if it is not."""
    versioned = _VERSIONED.match(name)
    if versioned and not name.startswith(target.site_packages("versioned") + "/"):
        return versioned[0] if versioned[1] != target.minor else name.rpartition("/")[0] + "/"
    if name.startswith(_LOOKED_INTO):
        return None
    folder, slash, _ = name.partition("/")
    return folder + slash
