"""The Runtime API of one environment, on the loopback: awslambdaric asks it for events and posts answers.

Its paths and headers are those that AWS documents for custom runtimes (2018-06-01).
"""

from __future__ import annotations

import json
import queue
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_API = "/2018-06-01/runtime"
_NOTHING = json.dumps({"errorType": "InvalidRequest", "errorMessage": "there is no such path"}).encode()
How = Literal["ready", "init-error", "response", "error"]


class Event(Struct, frozen=True, kw_only=True):
    """An event on its way: its request, what is in it, when it must be answered (seconds since 1970)."""

    request: str
    payload: bytes
    deadline: float
    arn: str


class Said(Struct, frozen=True, kw_only=True):
    """Something that the runtime said: ready for the first event, an answer, an error; and when.

    `when` is on the clock of time.monotonic(), `request` empty for what belongs to no event.
    """

    how: How
    body: bytes
    when: float
    request: str = ""


class RuntimeApi:
    """Hands out events one by one and takes what comes of them."""

    def __init__(self) -> None:
        """Listen on a port of the loopback."""
        self._events: queue.Queue[Event | None] = queue.Queue()
        self.said: queue.Queue[Said] = queue.Queue()
        self._asked = False
        self._server = _Server(self)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve while the block runs; whoever waits for an event then is let go."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._events.put(None)
            self._server.shutdown()
            self._server.server_close()

    def send(self, event: Event) -> None:
        """Hand an event to the runtime as soon as it asks for one."""
        self._events.put(event)

    def next_event(self) -> Event | None:
        """Wait for an event; the first time this is asked, the function is ready."""
        if not self._asked:
            self._asked = True
            self.take("ready", b"")
        return self._events.get()

    def take(self, how: How, body: bytes, request: str = "") -> None:
        """Take what the runtime says."""
        self.said.put(Said(how=how, body=body, when=time.monotonic(), request=request))


def _headers(event: Event) -> dict[str, str]:
    return {
        "Lambda-Runtime-Aws-Request-Id": event.request,
        "Lambda-Runtime-Deadline-Ms": str(int(event.deadline * 1000)),
        "Lambda-Runtime-Invoked-Function-Arn": event.arn,
        "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{event.request[-12:]:>024};Sampled=0",
    }


class _Server(ThreadingHTTPServer):
    """A server that knows whose it is."""

    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        """Listen on a port of the loopback."""
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Keep still: a function that is killed leaves its connections as they are."""


class _Handler(BaseHTTPRequestHandler):
    """Answers the runtime's requests."""

    server: _Server
    protocol_version = "HTTP/1.1"
    # One packet for each answer, at once: else the two sides wait 40 ms for each other.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Hand out the next event."""
        event = self.server.api.next_event() if self.path == f"{_API}/invocation/next" else None
        if event is None:
            self._send(404, _NOTHING, {})
        else:
            self._send(200, event.payload, _headers(event))

    def do_POST(self) -> None:
        """Take an answer or an error."""
        body = self._body()
        parts = self.path.removeprefix(_API).split("/")[1:]
        if parts == ["init", "error"]:
            self.server.api.take("init-error", body)
        elif len(parts) == 3 and parts[2] in ("response", "error"):  # noqa: PLR2004 - invocation/ID/how
            self.server.api.take(parts[2], body, parts[1])  # type: ignore[arg-type] # one of the two
        else:
            self._send(404, _NOTHING, {})
            return
        self._send(202, b'{"status":"OK"}', {})

    def _body(self) -> bytes:
        """Read a body of known length, or one in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        with suppress(OSError):  # the function may have ended meanwhile
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep still."""
