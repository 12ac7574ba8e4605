"""An engine behind ssh: a socket of this machine, each connection to which is an ssh to the engine's.

The docker command does the same (`docker system dial-stdio` at the other end), with the user's own ssh,
its keys, hosts and jumps. The SDK's way takes paramiko, which knows less of these and takes half a
second to import. All connections share one login, where the other side allows it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from layerkit.errors import EngineError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

# Ctrl-C is for us, and the connection is needed to tidy up: what sh ignores, the program it becomes does.
_SHELL = ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "ssh")
_WAITING = 64


class Tunnel:
    """The way to one engine, at ssh://[user@]host[:port], perhaps with the path of a socket there."""

    def __init__(self, address: str) -> None:
        """Listen; nobody is called before somebody connects."""
        if shutil.which("ssh") is None:
            raise EngineError("ssh is not installed, and the engine is behind it", where=redact(address))
        self._folder = Path(tempfile.mkdtemp(prefix="layerkit-"))
        self._log: IO[bytes] = (self._folder / "log").open("w+b")
        self._command = [*_SHELL, *_ssh(address, self._folder / "m")]
        self._programs: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / "s"))
        self._listener.listen(_WAITING)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        """Return the address of the socket here."""
        return f"unix://{self._folder}/s"

    def said(self) -> str:
        """Return the last line that ssh printed, or nothing."""
        lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def close(self) -> None:
        """End all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for program in self._programs:
            program.terminate()
            program.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        """Give each connection an ssh of its own, which reads from it and writes to it."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._programs = [program for program in self._programs if program.poll() is None]
                self._programs.append(self._started(connection.fileno()))

    def _started(self, handle: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdin=handle, stdout=handle, stderr=self._log)  # noqa: S603


def _ssh(address: str, control: Path) -> Iterator[str]:
    """Yield the command that connects to the engine."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or host.startswith("-"):
        raise EngineError("this is no address of a machine behind ssh", where=redact(address))
    yield from (
        "ssh",
        "-T",
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=no",
        "-o",
        f"ControlPath={control}",
    )
    if parts.username:
        yield from ("-l", parts.username)
    if port:
        yield from ("-p", str(port))
    at = f" --host unix://{parts.path}" if parts.path.strip("/") else ""
    yield from ("--", host, f"docker{at} system dial-stdio")
