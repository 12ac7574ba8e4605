"""AWS on the loopback: moto's server, and a front before it that scripts faults and mends what moto lacks.

    with Cloud.start() as cloud:
        cloud.url                                  # for AWS_ENDPOINT_URL
        cloud.script("PublishLayerVersion", Fault(status=429, code="TooManyRequestsException"))
        ...
        assert cloud.asked("PublishLayerVersion") == 2

As AWS and unlike moto, the front gives lists in pages, knows the address that a zip can be read from, refuses
a statement that a layer's policy has already, and holds functions in progress.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_OPERATIONS = (
    ("POST", r"/2018-10-31/layers/[^/]+/versions", "PublishLayerVersion"),
    ("GET", r"/2018-10-31/layers/[^/]+/versions", "ListLayerVersions"),
    ("GET", r"/2018-10-31/layers/[^/]+/versions/\d+", "GetLayerVersion"),
    ("DELETE", r"/2018-10-31/layers/[^/]+/versions/\d+", "DeleteLayerVersion"),
    ("POST", r"/2018-10-31/layers/[^/]+/versions/\d+/policy", "AddLayerVersionPermission"),
    ("GET", r"/2018-10-31/layers/[^/]+/versions/\d+/policy", "GetLayerVersionPolicy"),
    ("GET", r"/2018-10-31/layers", "ListLayers"),
    ("GET", r"/2015-03-31/functions/?", "ListFunctions"),
    ("GET", r"/2015-03-31/functions/[^/]+/aliases", "ListAliases"),
    ("GET", r"/2015-03-31/functions/[^/]+/configuration", "GetFunctionConfiguration"),
    ("PUT", r"/2015-03-31/functions/[^/]+/configuration", "UpdateFunctionConfiguration"),
    ("GET", r"/2015-03-31/functions/[^/]+", "GetFunction"),
    ("GET", r"/_zips/.+", "Download"),
    ("POST", r"/", "Query"),  # sts
    ("HEAD", r"/[^/]+/.+", "HeadObject"),
    ("PUT", r"/[^/]+/.+", "PutObject"),
    ("POST", r"/[^/]+/.+", "PostObject"),
    ("DELETE", r"/[^/]+/.+", "DeleteObject"),
    ("GET", r"/[^/]+/?", "GetBucket"),
    ("GET", r"/[^/]+/.+", "GetObject"),
)  # fmt: skip
_LISTS = {
    "ListLayerVersions": "LayerVersions",
    "ListLayers": "Layers",
    "ListFunctions": "Functions",
    "ListAliases": "Aliases",
}
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})
REGION = "eu-west-1"


class Fault(Struct, frozen=True, kw_only=True):
    """What goes wrong with one request: an answer of AWS, or the connection.

    With `after` the request is carried out first. `reset` breaks the connection off instead of answering;
    `reset_at` does so after so many bytes of the request's body were read. With `slow` the body is read in
    pieces of 64 KiB with so many seconds between them, and all goes well.
    """

    status: int = 500
    code: str = "ServiceException"
    message: str = "it broke"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: bool = False
    reset: bool = False
    reset_at: int | None = None
    wait: float = 0.0
    slow: float = 0.0


class Asked(Struct, frozen=True, kw_only=True):
    """One request as it came in; `time` is time.monotonic()."""

    operation: str
    path: str
    headers: Mapping[str, str]
    length: int
    time: float


def variables(url: str, region: str = REGION) -> dict[str, str]:
    """Return the environment of a program that is to speak with an AWS at `url`."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST0000",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    }


class Cloud:
    """The front and the moto server behind it, from `with` to the end of the block."""

    def __init__(self, port: int) -> None:
        self.backend = port
        self.page = 50
        self.requests: list[Asked] = []
        self.busy: dict[str, int] = {}  # function -> how many looks at it still find an update in progress
        self.broken: dict[str, str] = {}  # function -> why its last update failed
        self.zips: dict[str, bytes] = {}  # what the front gives at /_zips/NAME
        self.cut = 0  # how many more of these break off in the middle
        self.heard: Callable[[Any], object] = lambda _document: None  # every JSON that is sent to Lambda
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Cloud]:
        """Start a moto server of this process's own on a free port, and the front."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        moto = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port, moto)
            cloud = cls(port)
            try:
                yield cloud
            finally:
                cloud._server.shutdown()
                cloud._server.server_close()
        finally:
            moto.terminate()
            moto.wait(10)

    @property
    def url(self) -> str:
        """Return the address of the front."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def reset(self) -> None:
        """Forget everything."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.backend}/moto-api/reset", method="POST")
        urllib.request.urlopen(request).close()  # noqa: S310 - our own server
        with self._lock:
            self.page = 50
            self.requests.clear()
            self.busy.clear()
            self.broken.clear()
            self.heard = lambda _document: None
            self.zips.clear()
            self.cut = 0
            self._faults.clear()

    def script(self, operation: str, *faults: Fault) -> None:
        """Let the next requests of an operation go wrong, one after the other."""
        with self._lock:
            self._faults[operation] += faults

    def asked(self, operation: str) -> int:
        """Return how many requests of an operation came in."""
        return sum(one.operation == operation for one in self.requests)

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a client of boto3's that speaks with moto itself, unseen by the front."""
        import boto3

        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(
                service,
                region_name=region,
                endpoint_url=f"http://127.0.0.1:{self.backend}",
                aws_access_key_id="AKIDTESTTESTTEST0000",
                aws_secret_access_key="secret",  # noqa: S106 - moto takes any
            )
        return self._clients[service, region]

    def function(self, name: str, code: bytes, *, layers: tuple[str, ...] = (), **more: Any) -> str:
        """Make a function with that zip as its code; return its ARN."""
        iam = self.client("iam", "us-east-1")
        role = iam.create_role(RoleName=f"role-{name}", AssumeRolePolicyDocument="{}")
        made = self.client("lambda").create_function(
            FunctionName=name,
            Role=role["Role"]["Arn"],
            Code={"ZipFile": code},
            **{"Runtime": "python3.12", "Handler": "app.handler", "Layers": list(layers), **more},
        )
        self.zips[f"function/{name}"] = code
        return str(made["FunctionArn"])

    def fault(self, operation: str) -> Fault | None:
        """Take the next scripted fault of an operation."""
        with self._lock:
            waiting = self._faults[operation]
            return waiting.pop(0) if waiting else None

    def in_progress(self, function: str) -> bool:
        """Say whether this look at a function finds an update in progress."""
        with self._lock:
            left = self.busy.get(function, 0)
            self.busy[function] = max(0, left - 1)
            return left > 0


def _wait_for(port: int, moto: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and moto.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("moto's server does not start")


def _operation(method: str, path: str) -> str:
    found = (name for verb, form, name in _OPERATIONS if verb == method and re.fullmatch(form, path))
    return next(found, f"{method} {path}")


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.cloud = cloud
    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection to the front."""

    cloud: Cloud
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        operation = _operation(self.command, path)
        length = int(self.headers.get("Content-Length") or 0)
        self.cloud.requests.append(
            Asked(
                operation=operation,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                length=length,
                time=time.monotonic(),
            )
        )
        fault = self.cloud.fault(operation)
        if fault is not None and fault.reset_at is not None:
            self.rfile.read(fault.reset_at)
            self._reset()
            return
        try:
            body = self._body(length, fault.slow if fault else 0.0)
        except ConnectionError:
            return
        if fault is not None and fault.slow:
            fault = None
        if path.startswith(("/2015-", "/2018-")) and body:
            self.cloud.heard(json.loads(body))
        if fault is not None:
            self._fail(fault, body, operation)
        elif operation == "Download":
            self._download(path)
        elif operation == "GetObject" and self.cloud.cut:
            self._half(*self._forward(body, operation, path))
        else:
            self._answer(*self._mended(operation, *self._forward(body, operation, path)))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - their names in the standard library

    def _body(self, length: int, slow: float) -> bytes:
        """Return the request's body; ConnectionError where the other side has gone before its end."""
        if self.headers.get("Transfer-Encoding"):
            return self._chunked()
        if not slow:
            return self.rfile.read(length)
        data = b""
        while len(data) < length:
            time.sleep(slow)
            piece = self.rfile.read(min(1 << 16, length - len(data)))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def _chunked(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return data

    def _forward(self, body: bytes, operation: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Have moto answer."""
        if operation == "AddLayerVersionPermission" and (conflict := self._conflict(body, path)):
            return conflict
        connection = http.client.HTTPConnection("127.0.0.1", self.cloud.backend, timeout=60)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"transfer-encoding", "connection", "expect"}
        }
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        if self.command == "HEAD" and (length := answer.getheader("Content-Length")):
            kept["Content-Length"] = length
        return answer.status, kept, content

    def _conflict(self, body: bytes, path: str) -> tuple[int, dict[str, str], bytes] | None:
        name, number = unquote(path.split("/")[3]), int(path.split("/")[5])
        with contextlib.suppress(Exception):
            policy = self.cloud.client("lambda").get_layer_version_policy(
                LayerName=name, VersionNumber=number
            )
            known = {one.get("Sid") for one in json.loads(policy["Policy"])["Statement"]}
            if json.loads(body)["StatementId"] in known:
                text = json.dumps({"message": "The statement id provided already exists."}).encode()
                return 409, {"x-amzn-errortype": "ResourceConflictException"}, text
        return None

    def _mended(
        self, operation: str, status: int, headers: dict[str, str], content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Make moto's answer what AWS would say."""
        if status >= 300 or operation not in {
            *_LISTS,
            "GetLayerVersion",
            "GetFunction",
            "GetFunctionConfiguration",
        }:
            return status, headers, content
        document = json.loads(content)
        if operation in _LISTS:
            document = self._page(_LISTS[operation], document)
        if operation == "GetLayerVersion":
            document["Content"]["Location"] = f"{self.cloud.url}/_zips/layer/{document['LayerVersionArn']}"
        if operation == "GetFunction":
            name = document["Configuration"]["FunctionName"]
            document["Code"] = {"RepositoryType": "S3", "Location": f"{self.cloud.url}/_zips/function/{name}"}
        if operation == "GetFunctionConfiguration" and self.cloud.in_progress(document["FunctionName"]):
            document["LastUpdateStatus"] = "InProgress"
        if operation == "GetFunctionConfiguration" and (
            why := self.cloud.broken.get(document["FunctionName"])
        ):
            document |= {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": why}
        return status, headers, json.dumps(document).encode()

    def _page(self, key: str, document: dict[str, Any]) -> dict[str, Any]:
        query = parse_qs(urlsplit(self.path).query)
        start = int(query.get("Marker", ["0"])[0])
        count = min(self.cloud.page, int(query.get("MaxItems", ["50"])[0]))
        items = document.get(key, [])
        page: dict[str, Any] = {key: items[start : start + count]}
        if start + count < len(items):
            page["NextMarker"] = str(start + count)
        return page

    def _half(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """Break off in the middle of an answer."""
        self.cloud.cut -= 1
        self.close_connection = True
        self._answer(status, headers | {"Content-Length": str(len(content))}, content[: len(content) // 2])

    def _download(self, path: str) -> None:
        """Give a zip, or the part of it that is asked for."""
        name = unquote(path.removeprefix("/_zips/"))
        content = self.cloud.zips.get(name)
        if content is None:
            self._answer(404, {}, b"")
            return
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            whole, self.cloud.cut = not self.cloud.cut, max(0, self.cloud.cut - 1)
            self.close_connection |= not whole
            length = {"Content-Length": str(len(content))}
            self._answer(200, length, content if whole else content[: len(content) // 2])
            return
        size = len(content)
        start = int(wanted[1]) if wanted[1] else size - min(size, int(wanted[2]))
        stop = min(size, int(wanted[2]) + 1) if wanted[1] and wanted[2] else size
        said = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        self._answer(206, said, content[start:stop])

    def _fail(self, fault: Fault, body: bytes, operation: str) -> None:
        if fault.after:
            self._forward(body, operation, urlsplit(self.path).path)
        time.sleep(fault.wait)
        if fault.reset:
            self._reset()
            return
        headers = {"x-amzn-errortype": fault.code, **fault.headers}
        if operation in {"PutObject", "PostObject", "GetBucket", "HeadObject", "DeleteObject"}:
            text = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
        elif operation == "Query":
            inner = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
            text = f"<ErrorResponse>{inner}</ErrorResponse>"
        else:
            text = json.dumps({"Type": "User", "message": fault.message})
        self._answer(fault.status, headers, text.encode())

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Close quietly, also what was reset."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()


def code_sha256(content: bytes) -> str:
    """Return a digest as AWS prints it."""
    import hashlib

    return base64.b64encode(hashlib.sha256(content).digest()).decode()
