"""Which engine a command uses: Docker for what only it can do, for everything, or not at all.

The rule is `auto`, `docker` or `wheels`. Whoever needs a room asks `Engines.need` for it and says why;
so an engine that nobody needs is never connected to, and what was used can be told afterwards. With
`wheels` a need is an error, before anything of Docker is imported.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, get_args

from msgspec import Struct, field

from layerkit.errors import EngineError, UsageError
from layerkit.project import EngineRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from layerkit.container.room import Rooms

VARIABLE = "LAYERKIT_ENGINE"
# Why the rule `docker` needs an engine.
INSIDE = "everything happens inside the image"
_AS_ASKED = "as asked"
_DONE = "what happens inside the image has happened before"
_NO_NEED = "nothing here needs Docker"


class Use(Struct, frozen=True, kw_only=True):
    """The engine that the work on one target used, and why."""

    asked: EngineRule
    used: str
    reason: str

    def __str__(self) -> str:
        """Return the one line that a user reads."""
        return f"engine {self.used}: {self.reason}"

    def as_json(self) -> dict[str, str]:
        """Return the shape that every `--json` command prints."""
        return {"asked": self.asked, "used": self.used, "reason": self.reason}


class Engines(Struct, kw_only=True):
    """The way to an engine, for one command. Use it in a `with` block: its end removes all rooms.

    Several targets may ask at once. `reasons` are what Docker was needed for, by the key of the target.
    """

    rule: EngineRule
    talk: Callable[[str], None]
    reasons: dict[str, list[str]] = field(default_factory=dict)
    _rooms: Rooms | None = None
    _lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> Self:
        """Return the same; nothing is connected to before somebody needs it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the rooms and close the connection, if there are any."""
        if self._rooms is not None:
            rooms, self._rooms = self._rooms, None
            try:
                rooms.__exit__()
            finally:
                rooms.engine.close()

    @property
    def all_inside(self) -> bool:
        """Say whether everything has to happen in images."""
        return self.rule == "docker"

    def need(self, target: str, why: str) -> Rooms:
        """Return the rooms of this command, on an engine that is connected to at the first need.

        `why` says what for, as in "gdal 3.9 has no wheel". Raises UsageError under the rule `wheels`,
        EngineError where there is no engine, it is too old, or this user may not use it.
        """
        if self.rule == "wheels":
            raise UsageError(
                f"{why}: that takes Docker, and the engine is `wheels`",
                where=target,
                fix=f"leave the choice to layerkit: --engine auto, {VARIABLE}=auto, or engine = 'auto' in"
                " [tool.layerkit]",
            )
        with self._lock:
            known = self.reasons.setdefault(target, [])
            if why not in known:
                known.append(why)
                self.talk(f"{target}: engine docker: {why}")
            return self._connected()

    def look(self) -> Rooms | None:
        """Return the rooms of this command to ask the engine something that can be done without.

        None under the rule `wheels` and where no engine answers; what was looked at is not told as used.
        """
        from layerkit.container.engine import present

        if self.rule == "wheels" or not present():
            return None
        with self._lock, suppress(EngineError):
            return self._connected()
        return None

    def _connected(self) -> Rooms:
        """Return the rooms, connecting at the first call; the caller holds the lock."""
        if self._rooms is None:
            from layerkit.container.engine import connect
            from layerkit.container.room import Rooms

            self._rooms = Rooms(connect()).__enter__()
        return self._rooms

    def use(self, target: str) -> Use:
        """Return what the work on a target has used so far."""
        reasons = self.reasons.get(target)
        if reasons:
            return Use(asked=self.rule, used="docker", reason="; ".join(reasons))
        why = {"wheels": _AS_ASKED, "auto": _NO_NEED, "docker": _DONE}[self.rule]
        return Use(asked=self.rule, used="wheels", reason=why)


def rule_of(option: str | None, configured: EngineRule | None) -> EngineRule:
    """Return the rule that counts: the option's, else the environment's, else the project's, else `auto`."""
    said = option or os.environ.get(VARIABLE, "").strip() or configured or "auto"
    for known in get_args(EngineRule):
        if said == known:
            return known  # type: ignore[no-any-return]
    known = ", ".join(get_args(EngineRule))
    raise UsageError(f"there is no engine called {said!r}", where=VARIABLE, fix=f"known: {known}")
