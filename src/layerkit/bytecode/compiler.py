"""A compiler: one process of the target's interpreter that turns sources into bytecode (see child.py)."""

from __future__ import annotations

import contextlib
import marshal
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from layerkit.bytecode import Interpreter
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from typing_extensions import Self

# Isolated from the user's site, with strings hashed alike everywhere. -I and -E would ignore the seed.
OPTIONS = ("-s", "-S", "-B", "-X", "utf8", "-W", "ignore", "-c")
SEED = {"PYTHONHASHSEED": "0"}
_LENGTH = 8
_PIPE = 1 << 18
_LONGEST = 1 << 32  # an answer that is no answer
_FORMAT = 2

Source = tuple[str, bytes]  # the name that tracebacks show, and the bytes of the file


class Compiles(Protocol):
    """What turns sources into bytecode: an interpreter on this machine, or one in an image."""

    interpreter: Interpreter

    def __enter__(self) -> Self:
        """Return the same."""

    def __exit__(self, *_: object) -> None:
        """End what was started."""

    def compile(self, sources: Sequence[Source]) -> list[bytes | None]:
        """Return the content of a .pyc for each source, None for one that cannot be compiled."""


class Compiler:
    """A running interpreter. Use it in a `with` block; one thread at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start `command`, an interpreter and its way to run; StorageError when that does not answer."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - an interpreter that the user has
                [*command, *OPTIONS, script()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=kept | SEED,
                cwd="/",
            )
        except OSError as error:
            raise broken(command[0], error.strerror or "it cannot be started") from error
        _widen(self._stdin, self._stdout)
        self._name = command[0]
        try:
            version, tag = self._answer()
        except BaseException:
            self.close()
            raise
        self.interpreter = Interpreter(version=version, tag=tag)

    def __enter__(self) -> Self:
        """Return the same."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process: it goes when nobody can ask it any more."""
        for stream in (self._stdin, self._stdout):
            stream.close()
        self._process.wait()

    def compile(self, sources: Sequence[Source]) -> list[bytes | None]:
        """Return the content of a .pyc for each source, None for one that is no Python of this version.

        What is asked for together and in which order is part of what decides the bytes.
        """
        try:
            self._stdin.write(request(sources))
            self._stdin.flush()
        except OSError as error:
            raise broken(self._name, "it ended") from error
        found: list[bytes | None] = []
        while len(found) < len(sources):
            found += self._answer()
        return found

    def _answer(self) -> list[Any]:
        """Return the next answer."""
        return answer(self._stdout, self._name)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        return self._process.stdout


def _widen(*pipes: IO[bytes]) -> None:
    """Let more wait in a pipe, so that its two ends take turns less often, where the system lets us."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            for pipe in pipes:
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


def request(sources: Sequence[Source]) -> bytes:
    """Return what asks for bytecode for sources."""
    body = marshal.dumps(list(sources), _FORMAT)
    return len(body).to_bytes(_LENGTH, "little") + body


def answer(stream: IO[bytes], name: str) -> list[Any]:
    """Read the next answer. Raises StorageError, with the interpreter's `name`, where it is none."""
    length = int.from_bytes(stream.read(_LENGTH), "little")
    body = stream.read(length) if length < _LONGEST else b"?"
    if not body:
        raise broken(name, "it ended")
    try:
        found: list[Any] = marshal.loads(body)  # noqa: S302 - from the process that was started for it
    except (ValueError, EOFError, TypeError) as error:
        raise broken(name, "it says something else") from error
    return found


def script() -> str:
    """Return what the interpreter runs."""
    return Path(__file__).with_name("child.py").read_text(encoding="utf-8")


def broken(name: str, why: str) -> StorageError:
    """Return the error for an interpreter that does not do what it was started for."""
    return StorageError(
        f"the interpreter that compiles bytecode does not answer: {why}",
        where=name,
        fix="run it by hand, install it again, or set `bytecode = false`",
    )
