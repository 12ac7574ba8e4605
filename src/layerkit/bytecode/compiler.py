"""A compiler: one process of the target's interpreter that turns sources into bytecode (see child.py)."""

from __future__ import annotations

import marshal
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerkit.bytecode import Interpreter
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import IO

    from typing_extensions import Self

# Isolated from the user's site, with strings hashed alike everywhere. -I and -E would ignore the seed.
OPTIONS = ("-s", "-S", "-B", "-X", "utf8", "-W", "ignore", "-c")
SEED = {"PYTHONHASHSEED": "0"}
_LENGTH = 8
_LONGEST = 1 << 32  # an answer that is no answer
_FORMAT = 2

Source = tuple[str, bytes]  # the name that tracebacks show, and the bytes of the file


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
            raise _broken(command[0], error.strerror or "it cannot be started") from error
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        body = marshal.dumps(list(sources), _FORMAT)
        try:
            self._stdin.write(len(body).to_bytes(_LENGTH, "little") + body)
            self._stdin.flush()
        except OSError as error:
            raise _broken(self._name, "it ended") from error
        found: list[bytes | None] = []
        while len(found) < len(sources):
            found += self._answer()
        return found

    def _answer(self) -> list[Any]:
        """Return the next answer."""
        length = int.from_bytes(self._stdout.read(_LENGTH), "little")
        body = self._stdout.read(length) if length < _LONGEST else b"?"
        if not body:
            raise _broken(self._name, "it ended")
        try:
            answer: list[Any] = marshal.loads(body)  # noqa: S302 - from the process that was started here
        except (ValueError, EOFError, TypeError) as error:
            raise _broken(self._name, "it says something else") from error
        return answer

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        return self._process.stdout


def script() -> str:
    """Return what the interpreter runs."""
    return Path(__file__).with_name("child.py").read_text(encoding="utf-8")


def _broken(name: str, why: str) -> StorageError:
    return StorageError(
        f"the interpreter that compiles bytecode does not answer: {why}",
        where=name,
        fix="run it by hand, install it again, or set `bytecode = false`",
    )
