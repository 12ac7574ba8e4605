"""What becomes of a wheel in a layer: which files, where, and what is said of them.

Left out is what the rules of `slim` name, and what a layer never needs (bytecode of another interpreter,
what other installers wrote); new are the commands of entry points, INSTALLER and RECORD; changed are
scripts that ask for the installing interpreter. What becomes of the others' content is for `refine` to
say. Raise `prepare.RECIPE` with every change of what these modules give.
"""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct, field

from layerkit import record, scheme, scripts
from layerkit.archive import ArchiveError, Piece
from layerkit.refine import Refinery
from layerkit.slim import decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerkit.archive import Archive
    from layerkit.archive.spool import Spool
    from layerkit.refine import File, Refined
    from layerkit.scheme import Folders, Landing
    from layerkit.settings import Settings
    from layerkit.slim import Rules
    from layerkit.target import Target
    from layerkit.wheel import Wheel
    from layerkit.workshop import Workshop

_INSTALLER = b"layerkit\n"
_LONGEST_SOURCE = 16 << 20  # of a module; what it imports beyond that is not looked for
_REPLACED = "scripts-replaced-by-launchers"
_COMPILED = "sources-replaced-by-bytecode"


class Outcome(Struct, kw_only=True):
    """The files of a prepared wheel, in the making.

    `recorded` is path in the layer -> (sha256 digest, size in bytes), `dropped` is reason -> [count,
    bytes], `notes` are sentences about what is odd. `stripped` and `bytecode` are [count, bytes]: how much
    stripping took away, how much bytecode brought. `unstripped` is path -> why it could not be stripped,
    `skipped` counts the modules that no compiler takes.
    """

    pieces: list[Piece] = field(default_factory=list)
    recorded: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stripped: list[int] = field(default_factory=lambda: [0, 0])
    unstripped: dict[str, str] = field(default_factory=dict)
    bytecode: list[int] = field(default_factory=lambda: [0, 0])
    skipped: int = 0

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Add a file of new bytes."""
        self.pieces.append(Piece(name=path, data=content, executable=executable))
        self.recorded[path] = (hashlib.sha256(content).digest(), len(content))

    def drop(self, reason: str, size: int) -> None:
        """Count a file that is left out."""
        _count(self.dropped.setdefault(reason, [0, 0]), size)

    def take(self, one: Refined) -> None:
        """Add what became of a file, and count it."""
        if one.kept:
            self._add(one.kept)
        else:
            self.drop(_COMPILED, one.size)
        if one.bytecode:
            self._add(one.bytecode)
            _count(self.bytecode, one.bytecode.member.size)
        if one.saved:
            _count(self.stripped, one.saved)
        if one.unstripped:
            self.unstripped[one.path] = one.unstripped
        self.skipped += one.skipped

    def _add(self, file: File) -> None:
        data = (file.source, file.member)
        self.pieces.append(Piece(name=file.path, data=data, executable=file.executable))
        self.recorded[file.path] = (file.digest, file.member.size)


def apply(
    wheel: Wheel, archive: Archive, target: Target, settings: Settings, workshop: Workshop, spool: Spool
) -> Outcome:
    """Return the files of the wheel for the target, every member verified against RECORD.

    The pieces read from `archive` and `spool` when they are written. Raises WheelError for content that
    is not what RECORD says and for files that cannot both be installed, ConfigError for rules that do not
    fit the wheel.
    """
    where = scheme.folders(target, settings.layout, wheel.name)
    kept, replaced = _landings(wheel, where)
    outcome = Outcome(notes=list(wheel.notes))
    own_record = f"{where.site}/{wheel.dist_info}/RECORD"
    left_out = _left_out(wheel, archive, kept, where, settings.rules)
    for landing in replaced:
        outcome.drop(_REPLACED, landing.member.size)
    staying: list[Landing] = []
    for landing in kept:
        if reason := left_out.get(landing.path):
            outcome.drop(reason, landing.member.size)
        elif landing.script and (content := _script(archive, landing, target)):
            outcome.write(landing.path, content, executable=True)
        elif landing.path != own_record:
            staying.append(landing)
    refinery = Refinery(
        wheel=wheel, archive=archive, site=where.site, settings=settings, workshop=workshop, spool=spool
    )
    for one in refinery.refine(staying):
        outcome.take(one)
    for path, command in _launchers(wheel, where).items():
        if path not in left_out:
            outcome.write(path, scripts.launcher(command, target), executable=True)
    outcome.write(f"{where.site}/{wheel.dist_info}/INSTALLER", _INSTALLER)
    rows = {_seen_from(where.site, path): row for path, row in outcome.recorded.items()}
    outcome.write(own_record, record.write(rows, _seen_from(where.site, own_record)))
    outcome.notes += _startup_notes(outcome.recorded, where.site)
    return outcome


def _landings(wheel: Wheel, where: Folders) -> tuple[Sequence[Landing], Sequence[Landing]]:
    """Return what is installed and what launchers replace; refuse what clashes on this target."""
    landings, problems = scheme.land(wheel.members, wheel.data, where)
    commands = [command.name for command in wheel.scripts]
    kept, replaced = scheme.without_wrappers(landings, commands)
    faults = [*problems, *scheme.clashes(kept, [f"{where.scripts}/{name}" for name in commands])]
    faults += scheme.foreign_dist_infos(kept, where.site, wheel.dist_info)
    if faults:
        raise ArchiveError(wheel.filename, faults)
    return kept, replaced


def _count(counted: list[int], size: int) -> None:
    """Add one file of `size` bytes to a [count, bytes]."""
    counted[0] += 1
    counted[1] += size


def _launchers(wheel: Wheel, where: Folders) -> dict[str, scripts.Script]:
    """Return the commands that the wheel asks for by the paths of their files."""
    return {f"{where.scripts}/{command.name}": command for command in wheel.scripts}


def _left_out(
    wheel: Wheel, archive: Archive, landings: Sequence[Landing], where: Folders, rules: Rules
) -> dict[str, str]:
    """Return the files that are left out, by path, each with the reason that reports name."""
    never = {
        landing.path: reason
        for landing in landings
        if (reason := scheme.reason_to_drop(landing.path, where.site, wheel.dist_info))
    }
    members = {landing.path: landing.member for landing in landings if landing.path not in never}

    def source(path: str) -> bytes:
        content = b""
        for chunk in archive.chunks(members[path]):
            content += chunk
            if len(content) >= _LONGEST_SOURCE:
                break
        return content

    return never | decide(rules, wheel.name, where.site, [*members, *_launchers(wheel, where)], source)


def _script(archive: Archive, landing: Landing, target: Target) -> bytes | None:
    """Return the new content of a script that asks for the installing interpreter, else None.

    Programs of many megabytes come as scripts too; of those only the beginning is looked at.
    """
    beginning = next(iter(archive.chunks(landing.member)), b"")
    if not beginning.startswith(scripts.PLACEHOLDER):
        return None
    return scripts.with_interpreter(archive.read(landing.member), target)


def _seen_from(site: str, path: str) -> str:
    """Return a path of the layer as RECORD has it: relative to the folder of the modules."""
    inside = path.removeprefix(f"{site}/")
    return inside if inside != path else posixpath.relpath(path, site)


def _startup_notes(paths: Iterable[str], site: str) -> list[str]:
    """Say which files Lambda's bootstrap will execute at every start."""
    tops = [path.rpartition("/") for path in paths if path.endswith(".pth")]
    return [
        f"{name} runs at every start of the function" for folder, _, name in sorted(tops) if folder == site
    ]
