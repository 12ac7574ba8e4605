"""A registry of container images on the loopback, for pulls: tiny images of several architectures.

    with Registry() as registry:
        registry.add("demo", "1", {"amd64": {"bin/sh": b"..."}, "arm64": {...}})
        registry.reference("demo", "1")      # 127.0.0.1:PORT/demo:1, which engines pull without TLS

It speaks as much of the OCI distribution specification as a pull needs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """The registry, answering from `with` to the end of the block."""

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        self.asked: list[str] = []
        self._blobs: dict[str, tuple[str, bytes]] = {}
        self._tags: dict[tuple[str, str], str] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.registry = self

    def __enter__(self) -> Self:
        """Start to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def reference(self, name: str, tag: str) -> str:
        """Return how an engine calls an image of this registry."""
        return f"127.0.0.1:{self._server.server_address[1]}/{name}:{tag}"

    def add(self, name: str, tag: str, files: Mapping[str, Mapping[str, bytes]]) -> str:
        """Serve an image of several architectures, return its digest; `files` are name -> content of each."""
        manifests = [self._image(architecture, content) for architecture, content in files.items()]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
        self._tags[name, tag] = str(self._blob(_INDEX, json.dumps(index).encode())["digest"])
        return self._tags[name, tag]

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Return (media type, content) of a path, None where nothing is."""
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if parts == ["v2"]:
            return "application/json", b"{}"
        if len(parts) == 4 and parts[2] in ("manifests", "blobs"):
            return self._blobs.get(self._tags.get((parts[1], parts[3]), parts[3]))
        return None

    def _image(self, architecture: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Keep one image, and return its entry in an index."""
        tar = _tar(files)
        diff = f"sha256:{hashlib.sha256(tar).hexdigest()}"
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._blob(_CONFIG, json.dumps(config).encode()),
            "layers": [self._blob(_LAYER, gzip.compress(tar, mtime=0))],
        }
        entry = self._blob(_MANIFEST, json.dumps(manifest).encode())
        return {**entry, "platform": {"architecture": architecture, "os": "linux"}}

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._blobs[digest] = kind, content
        return {"mediaType": kind, "size": len(content), "digest": digest}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: Registry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _reply(self) -> None:
        found = self.server.registry.find(self.path.partition("?")[0])
        kind, content = found or ("application/json", b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_GET = do_HEAD = _reply  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _tar(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()
