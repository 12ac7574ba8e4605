"""What an image's own interpreter says that it is; an image of another runtime is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import EngineError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from layerkit.container.room import Room
    from layerkit.target import Target

_NO_PROGRAM = (126, 127)
_LOOK = """
import json, os, platform, sys
print(json.dumps({
    "python": platform.python_version(),
    "implementation": sys.implementation.name,
    "machine": platform.machine(),
    "glibc": (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2],
}))
"""


class Told(Struct, frozen=True, kw_only=True):
    """The release of Python in an image, and its glibc as (major, minor)."""

    python: str
    glibc: tuple[int, int]


def ask(room: Room, target: Target) -> Told:
    """Ask the interpreter of a room. Raises EngineError where it is not one of the target."""
    where = room.image.reference
    fix = f"name another one: [tool.layerkit.docker] images, or LAYERKIT_IMAGE_{target.short.upper()}"
    code, said, error = room.captured([target.interpreter, "-c", _LOOK])
    if code in _NO_PROGRAM:
        what = f"the image is not one of {target.key}: it has no {target.interpreter}"
        raise EngineError(what, where=where, fix=fix)
    if code:
        raise EngineError(f"the interpreter ended with {code}: {redact(error.strip())}", where=where, fix=fix)
    try:
        told: dict[str, str] = json.loads(said)
        glibc = tuple(map(int, told["glibc"].split(".")))[:2]
        ours = (told["implementation"], told["python"].rpartition(".")[0], told["machine"], len(glibc))
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise EngineError(
            f"the interpreter does not say what it is: {redact(said[:200])}", where=where
        ) from fault
    if ours != ("cpython", target.minor, target.machine, 2):
        raise EngineError(
            f"the image is not one of {target.key}: its interpreter is {told['implementation']}"
            f" {told['python']} on {told['machine']}, with glibc {told['glibc'] or 'of no version'}",
            where=where,
            fix=fix,
        )
    return Told(python=told["python"], glibc=(glibc[0], glibc[1]))
