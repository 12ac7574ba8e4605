"""An HTTP server on the loopback for tests: a package index, plain files, and scripted faults.

    with Loopback(folder_of_wheels) as server:
        server.simple                          # PEP 503 index of the wheels, for uv and pip
        server.address("six-1.16.0-py2.py3-none-any.whl")
        server.script("six-1.16.0-py2.py3-none-any.whl", Fault(status=503), Fault(reset_after=1000))
        ...
        assert server.asked("six-1.16.0-py2.py3-none-any.whl") == 3

Each request for a scripted name takes the next fault; when they are used up it is served as it is.
The index is read from the folder at each request, so files may come and go while it runs. It also
answers as an HTTP proxy would: a request for http://any.host/files/NAME gets the file NAME.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import io
import re
import socket
import struct
import threading
import time
import zipfile
from collections import defaultdict
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_METADATA = ".metadata"  # PEP 658: a wheel's METADATA beside the wheel


class Fault(Struct, frozen=True, kw_only=True):
    """What goes wrong with one request; without a value for `status` or `body` the file is served.

    `wait` seconds pass before anything is sent. `reset_after` bytes of the body the connection is
    reset; `end_after` bytes it is closed as if all were said. `drip` is (bytes, seconds between them).
    `length=False` leaves Content-Length away, so that only the end of the connection ends the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    wait: float = 0.0
    reset_after: int | None = None
    end_after: int | None = None
    drip: tuple[int, float] | None = None
    length: bool = True


class Asked(Struct, frozen=True, kw_only=True):
    """One request as it came in. Header names are lower case; `time` is time.monotonic()."""

    method: str
    target: str
    name: str
    headers: Mapping[str, str]
    time: float


class Loopback:
    """The server, running from `with` to the end of the block."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        auth: tuple[str, str] | None = None,
        hashes: bool = True,
        metadata: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve `folder`'s wheels, to (user, password) only if `auth` is given.

        `hashes` puts #sha256= into the index's links, `metadata` serves METADATA by itself (PEP 658).
        """
        self.folder = folder
        self.auth = auth
        self.hashes = hashes
        self.metadata = metadata
        self.ranges = False  # whether parts of files are given to those who ask for them
        self.requests: list[Asked] = []
        self.files: dict[str, bytes] = {}
        self.busiest = 0  # how many requests were being answered at the same time, at most
        self._busy = 0
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.loopback = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https" if tls is not None else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        """Start to answer; the port is open since the construction."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and cut the connections that are still open."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._thread.join()

    @property
    def host(self) -> str:
        """Return host:port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Return the server's own address, without a slash at the end."""
        return f"{self.scheme}://{self.host}"

    @property
    def simple(self) -> str:
        """Return the address of the package index."""
        return f"{self.url}/simple/"

    def with_auth(self, url: str) -> str:
        """Return an address of this server with its user and password in it."""
        user, password = self.auth or ("", "")
        return url.replace("://", f"://{quote(user, safe='')}:{quote(password, safe='')}@", 1)

    def address(self, name: str) -> str:
        """Return where a file is served."""
        return f"{self.url}/files/{quote(name)}"

    def add(self, name: str, data: bytes) -> str:
        """Serve bytes under a name, folder or not; return their sha256."""
        self.files[name] = data
        return hashlib.sha256(data).hexdigest()

    def script(self, name: str, *faults: Fault) -> None:
        """Let the next requests for a file (or a project of the index) meet these faults."""
        with self._lock:
            self._faults[name] += faults

    def asked(self, name: str) -> int:
        """Return how often a file's body was asked for; a bare `METADATA` request is not counted."""
        return sum(request.name == name and request.method == "GET" for request in list(self.requests))

    def names(self) -> list[str]:
        """Return the names of all files, in order."""
        found = set(self.files)
        if self.folder is not None:
            found |= {path.name for path in self.folder.iterdir() if path.is_file()}
        return sorted(found)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None."""
        if name in self.files:
            return self.files[name]
        path = self.folder / name if self.folder is not None and "/" not in name else None
        return path.read_bytes() if path is not None and path.is_file() else None

    def take(self, request: Asked) -> Fault | None:
        """Note a request, and return the fault that it meets."""
        with self._lock:
            self.requests.append(request)
            waiting = self._faults.get(request.name)
            return waiting.pop(0) if waiting and request.method == "GET" else None

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request that is being answered."""
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def page(self, path: str) -> tuple[str, bytes] | None:
        """Return (content type, body) of a path, or None where nothing is."""
        parts = unquote(path).strip("/").split("/")
        if parts == ["simple"]:
            projects = sorted({_project(name) for name in self.names() if name.endswith(".whl")})
            return _html("".join(f'<a href="/simple/{name}/">{name}</a>\n' for name in projects))
        if parts[0] == "simple" and len(parts) == 2:
            links = [self._link(name) for name in self.names() if _project(name) == parts[1]]
            return _html("".join(links)) if links else None
        if parts[0] == "files" and len(parts) == 2:
            return self._file(parts[1])
        return None

    def _file(self, name: str) -> tuple[str, bytes] | None:
        if name.endswith(_METADATA):
            data = _metadata_of(self.read(name.removesuffix(_METADATA)))
            return ("text/plain", data) if data is not None else None
        data = self.read(name)
        return ("application/octet-stream", data) if data is not None else None

    def _link(self, name: str) -> str:
        data = self.read(name) or b""
        metadata = _metadata_of(data) if self.metadata else None
        fragment = f"#sha256={hashlib.sha256(data).hexdigest()}" if self.hashes else ""
        extra = ""
        if metadata is not None:
            extra += f' data-core-metadata="sha256={hashlib.sha256(metadata).hexdigest()}"'
            if python := message_from_bytes(metadata)["Requires-Python"]:
                extra += f' data-requires-python="{html.escape(python)}"'
        return f'<a href="/files/{quote(name)}{fragment}"{extra}>{name}</a>\n'


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    loopback: Loopback

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()

    def finish_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any
    ) -> None:
        assert isinstance(request, socket.socket)
        self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self._open.discard(request)

    def cut(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: clients that go away in the middle are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        server = self.server.loopback
        path = urlsplit(self.path).path
        name = unquote(path.strip("/").rpartition("/")[2])
        headers = {key.lower(): value for key, value in self.headers.items()}
        asked = Asked(
            method=self.command, target=self.path, name=name, headers=headers, time=time.monotonic()
        )
        fault = server.take(asked)
        if server.auth is not None and not _allowed(headers.get("authorization"), server.auth):
            fault = Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="tests"'}, body=b"who?")
        page = server.page(path)
        if page is None and (fault is None or fault.body is None):
            page, fault = ("text/plain", b"nothing here"), fault or Fault(status=404)
        kind, body = page or ("text/plain", b"")
        fault = fault or Fault()
        if server.ranges and fault.status < 300 and (part := _part(headers.get("range", ""), body)):
            body, told = part
            fault = replace(fault, status=206, headers={**fault.headers, "Content-Range": told})
        with server.answering():
            self._answer(fault, kind, body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, fault: Fault, kind: str, body: bytes) -> None:
        time.sleep(fault.wait)
        if fault.body is not None or fault.status >= 300:
            body = fault.body or b""
        self.send_response(fault.status)
        headers = {"Content-Type": kind, **fault.headers}
        if fault.length:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Connection"] = "close"
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self._body(fault, body)

    def _body(self, fault: Fault, body: bytes) -> None:
        cut = fault.reset_after if fault.reset_after is not None else fault.end_after
        step, pause = fault.drip or (len(body) or 1, 0.0)
        sent = body if cut is None else body[:cut]
        for start in range(0, len(sent), step):
            self.wfile.write(sent[start : start + step])
            time.sleep(pause)
        self.close_connection = cut is not None or not fault.length
        if fault.reset_after is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def _part(asked: str, body: bytes) -> tuple[bytes, str] | None:
    """Return the stretch of a body that a Range header asks for, and the header that says so."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    if found is None or not body:
        return None
    start = int(found[1]) if found[1] else max(0, len(body) - int(found[2]))
    stop = min(len(body), int(found[2]) + 1) if found[1] and found[2] else len(body)
    return body[start:stop], f"bytes {start}-{stop - 1}/{len(body)}"


def _html(links: str) -> tuple[str, bytes]:
    page = f"<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n"
    return "text/html; charset=utf-8", page.encode()


def _project(filename: str) -> str:
    """Return the canonical name (PEP 503) in a wheel's file name."""
    return re.sub(r"[-_.]+", "-", filename.partition("-")[0]).lower()


def _metadata_of(wheel: bytes | None) -> bytes | None:
    """Return METADATA of a wheel; None when it has none or is none, as hostile ones may."""

    wanted = ".dist-info/METADATA"
    try:
        with zipfile.ZipFile(io.BytesIO(wheel or b"")) as archive:
            return archive.read(next(name for name in archive.namelist() if name.endswith(wanted)))
    except (zipfile.BadZipFile, KeyError, StopIteration, ValueError):
        return None


def _allowed(given: str | None, wanted: tuple[str, str]) -> bool:
    return given == "Basic " + base64.b64encode(":".join(wanted).encode()).decode()
