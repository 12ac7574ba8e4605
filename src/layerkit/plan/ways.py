"""What makes a stack smaller without taking a package out of it, for errors that say it is too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerkit.project import Project


def smaller(project: Project, compiled: int) -> Iterator[str]:
    """Yield what the project does not use yet; `compiled` are the bytes of bytecode in what is too large."""
    if compiled:
        yield f"leave bytecode out: bytecode = false in [tool.layerkit] saves {compiled:,} bytes"
    off = [name for name, on in project.slim.switched if not on]
    if not project.slim.enabled:
        yield "slim the wheels: take slim = false out of [tool.layerkit]"
    elif off:
        yield f"switch these rules of slimming on again: {', '.join(off)}"


def bundled() -> str:
    """Return the way out for what stays too large."""
    return 'unpack large files to /tmp when it starts: tool.layerkit.over-limit = "bundle"'
