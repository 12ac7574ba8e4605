"""A package index on this machine, so that no peer is slowed down by a network.

It answers as a public index does (one page per project with hashes, metadata beside each wheel, headers
that let wheels be cached), and is started as a process of its own: `index.py FOLDER PORT`. A plain folder
of wheels would not do: some tools treat wheels they find on disk as something to be built first, and would
look slower than they are.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
FOREVER = "max-age=31536000, immutable"
TEN_MINUTES = "max-age=600"


def canonical(name: str) -> str:
    """Return the name of a project as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def metadata(wheel: Path) -> bytes:
    """Return the METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        return archive.read(names[0])


@cache
def sha256(wheel: Path) -> str:
    """Return the digest that the page names."""
    with wheel.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@cache
def page(folder: Path, project: str) -> bytes:
    """Return the page of one project: a link for each of its wheels in the folder."""
    links = [
        f'<a href="../../{wheel.name}#sha256={sha256(wheel)}" '
        f'data-core-metadata="sha256={hashlib.sha256(metadata(wheel)).hexdigest()}">{wheel.name}</a>'
        for wheel in sorted(folder.glob("*.whl"))
        if canonical(wheel.name.split("-")[0]) == project
    ]
    return "\n".join(["<!DOCTYPE html><html><body>", *links, "</body></html>"]).encode() if links else b""


class Handler(BaseHTTPRequestHandler):
    """Answers /<folder>/simple/<project>/, /<folder>/<wheel> and /<folder>/<wheel>.metadata."""

    protocol_version = "HTTP/1.1"
    root = Path()

    def do_GET(self) -> None:
        """Find out what is asked for and send it, or only its tag if the asker has it."""
        folder, _, rest = self.path.strip("/").partition("/")
        home = self.root / Path(folder).name
        if project := re.fullmatch(r"simple/([a-z0-9-]+)", rest):
            self.answer(page(home, project[1]), "text/html", TEN_MINUTES)
        elif re.fullmatch(r"[^/]+\.whl", rest) and (home / rest).exists():
            self.answer((home / rest).read_bytes(), "application/octet-stream", FOREVER)
        elif re.fullmatch(r"[^/]+\.whl\.metadata", rest):
            self.answer(metadata(home / rest.removesuffix(".metadata")), "text/plain", FOREVER)
        else:
            self.answer(b"", "text/plain", TEN_MINUTES)

    def answer(self, body: bytes, kind: str, keep: str) -> None:
        """Send the body, which is the page of nothing when it is empty."""
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        same = self.headers.get("If-None-Match") == tag
        status = HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK if body else HTTPStatus.NOT_FOUND
        self.send_response(status)
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", keep)
        self.send_header("Content-Type", kind)
        if not same:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not same:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing: the table is what people want to see."""


def main(folder: str, port: str) -> None:
    """Serve the folder until the process is ended; the port that was taken is told on stdout."""
    Handler.root = Path(folder)
    try:
        server = ThreadingHTTPServer((HOST, int(port)), Handler)
    except OSError:  # somebody has that port; any other will do, the caches are filled again
        server = ThreadingHTTPServer((HOST, 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
