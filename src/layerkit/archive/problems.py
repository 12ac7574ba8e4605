"""What is wrong with an archive: every problem with its member and the name of its case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 20
_SHOWN_NAME = 160


class Problem(Struct, frozen=True, kw_only=True):
    """One reason to refuse an archive; `case` is stable, `member` is None for the file as a whole."""

    case: str
    text: str
    member: str | None = None


class ArchiveError(WheelError):
    """An archive that is refused; `problems` lists every reason, in the order they were found."""

    def __init__(self, archive: str, problems: Sequence[Problem]) -> None:
        """Say a single problem as the error itself, several as a list beneath one line."""
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            (one,) = self.problems
            where = archive if one.member is None else f"{archive}: {printable(one.member)}"
            super().__init__(f"{one.text} [{one.case}]", where=where)
            return
        lines = [f"{len(self.problems)} reasons to refuse this archive", *map(_line, self.problems[:_SHOWN])]
        if len(self.problems) > _SHOWN:
            lines.append(f"and {len(self.problems) - _SHOWN} more")
        super().__init__("\n  ".join(lines), where=archive)

    def as_json(self) -> dict[str, object]:
        """Add the problems to what every error prints."""
        problems = [{"case": p.case, "member": p.member, "text": p.text} for p in self.problems]
        return {**super().as_json(), "error": "WheelError", "problems": problems}


def _line(problem: Problem) -> str:
    member = "" if problem.member is None else f"{printable(problem.member)}: "
    return f"{member}{problem.text} [{problem.case}]"


def printable(name: str) -> str:
    """Return a member's name as it may be shown: no control character reaches a terminal."""
    shown = name if len(name) <= _SHOWN_NAME else name[:_SHOWN_NAME] + "..."
    return escaped(shown)


def escaped(text: str) -> str:
    """Return text of strangers as it may be shown: what cannot be printed as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
