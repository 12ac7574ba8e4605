"""Bytecode by the interpreter in a runtime's image, where this machine has none of the version.

The image is the one for the engine's own processor: bytecode is the same on every one. Requests go in as
files and answers come out by what is printed, so the engine may be anywhere. The container has no
network; code is compiled in it and never executed.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.bytecode import Interpreter
from layerkit.bytecode.compiler import OPTIONS, SEED, answer, broken, request, script
from layerkit.errors import EngineError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from layerkit.bytecode.compiler import Source
    from layerkit.container.room import Room, Rooms
    from layerkit.engines import Engines
    from layerkit.target import Target

_FOLDER = "/layerkit-bytecode"
_RUN = 'file=$1; shift; "$@" < "$file"; code=$?; rm -f "$file"; exit $code'
# Of answers to one request; what is compiled together is half a megabyte of sources.
_MOST = 1 << 30


class Images(Struct, frozen=True, kw_only=True):
    """The way to the interpreter in the image of one target.

    `named` are the images that the project names to run in. Nothing is started before it is needed.
    """

    engines: Engines
    target: Target
    named: Mapping[str, str]
    talk: Callable[[str], None]
    offline: bool

    @property
    def way(self) -> str:
        """Return what decides whether there is a way and to which image, "" where there is none."""
        from layerkit.container.engine import present
        from layerkit.container.images import reference

        if self.engines.rule == "wheels" or not present():
            return ""
        with suppress(EngineError):
            return " ".join(
                reference(replace(self.target, arch=arch), "run", self.named) for arch in ("x86_64", "arm64")
            )
        return ""

    def find(self) -> Interpreter | None:
        """Return the interpreter in the image; None, with a word about it, where that cannot be had."""
        rooms = self.engines.look() if self.way else None
        if rooms is None:
            return None
        try:
            compiler = self._compiler(rooms)
        except (EngineError, StorageError) as error:
            self.talk(f"{self.target.key}: no bytecode by the image {error.where}: {error.what}")
            return None
        self._need()
        return compiler.interpreter

    def start(self, expected: Interpreter) -> ImageCompiler:
        """Return a compiler. Raises EngineError where the image has another interpreter than expected."""
        compiler = self._compiler(self._need())
        if compiler.interpreter != expected:
            raise EngineError(
                f"it has Python {compiler.interpreter.version} now, and had {expected.version}",
                where=compiler.where,
                fix="build again with `layerkit cache clean`, or name the image by its digest",
            )
        return compiler

    def _need(self) -> Rooms:
        return self.engines.need(self.target.key, f"there is no Python {self.target.minor} here for bytecode")

    def _compiler(self, rooms: Rooms) -> ImageCompiler:
        from layerkit.container.images import ready, reference
        from layerkit.container.room import Furnishing

        on = replace(self.target, arch=rooms.engine.arch or self.target.arch)
        wanted = reference(on, "run", self.named)
        image = ready(rooms.engine, wanted, on.arch, self.talk, offline=self.offline)
        return ImageCompiler(rooms.room(image, Furnishing(network="none")), on.interpreter)


class ImageCompiler:
    """An interpreter in a container, asked as a Compiler is; it is started for every request."""

    _numbers = itertools.count()

    def __init__(self, room: Room, path: str) -> None:
        """Ask the interpreter at a path who it is. Raises StorageError where it does not answer."""
        self._room = room
        self._path = path
        self.interpreter = self._run(b"")[0]

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the container to whoever opened it."""

    @property
    def where(self) -> str:
        """Return the name of the image."""
        return self._room.image.reference

    def compile(self, sources: Sequence[Source]) -> list[bytes | None]:
        """Return the content of a .pyc for each source, as Compiler.compile does."""
        _, printed = self._run(request(sources))
        found: list[bytes | None] = []
        while len(found) < len(sources):
            found += answer(printed, self.where)
        return found

    def _run(self, asked: bytes) -> tuple[Interpreter, BytesIO]:
        """Run the interpreter with a request; return who answers, and what else it says."""
        from layerkit.container.tarred import Entry

        name = f"request-{next(self._numbers)}"
        self._room.put("/", [Entry(name=f"{_FOLDER[1:]}/{name}", content=asked)])
        command = [self._path, *OPTIONS, script()]
        code, said, _ = self._room.printed(
            ["/bin/sh", "-c", _RUN, "sh", f"{_FOLDER}/{name}", *command],
            env={**SEED, "PYTHONPATH": "", "PYTHONHOME": ""},
            most=_MOST,
        )
        if code:
            raise broken(self.where, f"it ended with {code}")
        printed = BytesIO(said)
        version, tag = answer(printed, self.where)
        return Interpreter(version=version, tag=tag), printed
