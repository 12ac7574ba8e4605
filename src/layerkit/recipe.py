"""What becomes of a wheel in a layer: which files, where, and what is said of them.

Every file keeps its content and its compressed stream. Left out is what the rules of `slim` name, and
what a layer never needs (bytecode of another interpreter, what other installers wrote);
new are the commands of entry points, INSTALLER and RECORD; changed are scripts that ask for the
installing interpreter. Raise `prepare.RECIPE` with every change of what this module gives.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerkit import record, scheme, scripts
from layerkit.archive import ArchiveError, Piece
from layerkit.slim import decide
from layerkit.wheel import Wheel, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerkit.archive import Archive
    from layerkit.scheme import Folders, Landing
    from layerkit.slim import Rules
    from layerkit.target import Layout, Target

_INSTALLER = b"layerkit\n"
_LONGEST_SOURCE = 16 << 20  # of a module; what it imports beyond that is not looked for
_REPLACED = "scripts-replaced-by-launchers"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The files of a prepared wheel, in the making.

    `recorded` is path in the layer -> (sha256 digest, size in bytes), `dropped` is reason -> [count,
    bytes], `notes` are sentences about what is odd.
    """

    pieces: list[Piece] = field(default_factory=list)
    recorded: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Add a file of new bytes."""
        self.pieces.append(Piece(name=path, data=content, executable=executable))
        self.recorded[path] = (hashlib.sha256(content).digest(), len(content))

    def keep(self, archive: Archive, landing: Landing, digest: bytes) -> None:
        """Add a member as it is. What came as a script can be run, whatever its mode in the wheel."""
        member = landing.member
        executable = landing.script or member.executable
        self.pieces.append(Piece(name=landing.path, data=(archive, member), executable=executable))
        self.recorded[landing.path] = (digest, member.size)

    def drop(self, landing: Landing, reason: str) -> None:
        """Count a member that is left out."""
        count = self.dropped.setdefault(reason, [0, 0])
        count[0] += 1
        count[1] += landing.member.size


def apply(wheel: Wheel, archive: Archive, target: Target, layout: Layout, rules: Rules) -> Outcome:
    """Return the files of the wheel for the target, every member verified against RECORD.

    The pieces read from `archive` when they are written. Raises WheelError for content that is not
    what RECORD says and for files that cannot both be installed, ConfigError for `rules` that do not
    fit the wheel.
    """
    where = scheme.folders(target, layout, wheel.name)
    kept, replaced = _landings(wheel, where)
    outcome = Outcome(notes=list(wheel.notes))
    digests = verify(wheel, archive)
    own_record = f"{where.site}/{wheel.dist_info}/RECORD"
    left_out = _left_out(wheel, archive, kept, where, rules)
    for landing in replaced:
        outcome.drop(landing, _REPLACED)
    for landing in kept:
        if reason := left_out.get(landing.path):
            outcome.drop(landing, reason)
        elif landing.script and (content := _script(archive, landing, target)):
            outcome.write(landing.path, content, executable=True)
        elif landing.path != own_record:
            outcome.keep(archive, landing, digests[landing.member.name])
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
