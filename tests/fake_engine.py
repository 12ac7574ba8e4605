"""An engine of a few answers, on a socket of this machine: for what no real engine does on demand.

    with FakeEngine(folder) as engine:
        engine.answers["GET /images/a/json"] = 200, {"Id": "sha256:a", "Architecture": "amd64"}
        connect({"DOCKER_HOST": engine.address})
        assert engine.asked == ["GET /version", ...]

Paths are those of the engine's API without the version in front. An answer of None breaks the connection; a
list of answers is given one after the other, the last one again and again; bytes are sent as a stream.
"""

from __future__ import annotations

import contextlib
import json
import re
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

Answer = tuple[int, Any] | None


class FakeEngine:
    """The engine, answering from `with` to the end of the block."""

    def __init__(self, folder: Path, *, api: str = "1.41", arch: str = "amd64") -> None:
        """Listen on a socket in `folder`."""
        self.answers: dict[str, Answer | list[Answer]] = {
            "GET /version": (200, {"ApiVersion": api, "Version": "20.10.24", "Arch": arch})
        }
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.address = f"unix://{folder}/engine.sock"
        self._server = _Server(str(folder / "engine.sock"), _Handler)
        self._server.engine = self

    def __enter__(self) -> Self:
        """Start to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, question: str) -> Answer:
        """Return what is answered to `METHOD /path`."""
        found = self.answers.get(question, (404, {"message": f"no answer to {question}"}))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    engine: FakeEngine

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that break, which is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _reply(self) -> None:
        path = re.sub(r"^/v\d\.\d+", "", unquote(self.path.partition("?")[0]))
        question = f"{self.command} {path}"
        engine = self.server.engine
        engine.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        engine.asked.append(question)
        found = engine.answer(question)
        if found is None:
            with contextlib.suppress(OSError):
                self.connection.shutdown(2)
            self.close_connection = True
            return
        status, value = found
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if isinstance(value, bytes):  # a stream, as the progress of a pull is
            self.send_header("Transfer-Encoding", "chunked")
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PUT = _reply  # noqa: N815

    def address_string(self) -> str:
        """Return a name for a peer that has none."""
        return "socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""
