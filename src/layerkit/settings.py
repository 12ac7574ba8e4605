"""What a project decides about the files of its wheels, in one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.slim import Rules

if TYPE_CHECKING:
    from layerkit.bytecode import Interpreter
    from layerkit.project import BytecodeRule
    from layerkit.target import Layout

__all__ = ["Settings"]


EVERYTHING = Rules()


class Settings(Struct, frozen=True, kw_only=True):
    """How wheels are prepared; the defaults change nothing that need not change.

    `bytecode` says whether there is bytecode beside the sources, only bytecode, or none; `interpreter` who
    compiles it, which is None where there is none to be had.
    """

    layout: Layout = "versioned"
    rules: Rules = EVERYTHING
    strip: bool = False
    bytecode: BytecodeRule = "none"
    interpreter: Interpreter | None = None

    def decisive(self, package: str) -> list[object]:
        """Return all of it that decides the bytes of a package, for a key."""
        compiled = self.interpreter and [self.bytecode, self.interpreter.tag, self.interpreter.version]
        return [self.layout, self.rules.digest(package), self.strip, compiled]
