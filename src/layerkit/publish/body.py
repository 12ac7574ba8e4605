"""A zip on its way to Lambda: the request's JSON with the zip in base64, made while it is sent.

boto3 would hold the zip in memory four times over: the bytes, their base64, the JSON, and that encoded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_CHUNK = 3 << 18  # bytes of the zip at a time; of three bytes base64 makes four characters
_OPERATION = "before-call.lambda.PublishLayerVersion"


class ZipBody:
    """The body of one request, as a file that can be read again from its start.

    `document` is the request as boto3 wrote it; its Content.ZipFile is replaced by the zip at `path`.
    """

    def __init__(self, document: bytes, path: Path, sent: Callable[[int], None]) -> None:
        """Open the zip; `sent` hears how many of its bytes were read, less than none when it starts anew."""
        mark = uuid.uuid4().hex
        parts = json.loads(document)
        parts["Content"] = {"ZipFile": mark}
        before, _, after = json.dumps(parts).partition(mark)
        self._before, self._after = before.encode(), after.encode()
        self._sent = sent
        self._file = path.open("rb")
        self._size = self._file.seek(0, 2)
        self._ready = bytearray()
        self._at = self._told = 0
        self.seek(0)

    def __len__(self) -> int:
        """Return the length of the whole body in bytes."""
        return len(self._before) + 4 * -(-self._size // 3) + len(self._after)

    def tell(self) -> int:
        """Return how many bytes of the body were read."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to the start, or to the end, which is all that anybody asks for."""
        if whence == 2:  # noqa: PLR2004 - os.SEEK_END
            self._ready.clear()
            self._file.seek(0, 2)
            self._at = len(self) + offset
            return self._at
        self._file.seek(0)
        self._ready[:] = self._before
        self._at = 0
        if self._told:
            self._sent(-self._told)
            self._told = 0
        return 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the body, none at its end."""
        wanted = len(self) - self._at if size < 0 else size
        while len(self._ready) < wanted and (chunk := self._file.read(_CHUNK)):
            self._ready += base64.b64encode(chunk)
            self._told += len(chunk)
            self._sent(len(chunk))
            if self._file.tell() == self._size:
                self._ready += self._after
        data = bytes(self._ready[:wanted])
        del self._ready[:wanted]
        self._at += len(data)
        return data

    def close(self) -> None:
        """Close the zip."""
        self._file.close()


class Streamed:
    """While this block lasts, what a client publishes has the zip at `path` as its content.

    `client` belongs to one thread. Where the content lies in S3 the body is left as it is.
    """

    def __init__(self, client: Any, path: Path, sent: Callable[[int], None]) -> None:
        """Take the client; `sent` is told of the zip's bytes as they are sent."""
        self._events, self._path, self._sent = client.meta.events, path, sent
        self._body: ZipBody | None = None

    @property
    def cut_short(self) -> bool:
        """Say whether the last body was not read to its end."""
        return self._body is None or self._body.tell() < len(self._body)

    def __enter__(self) -> Self:
        """Step between boto3 and the connection."""
        self._events.register(_OPERATION, self._replace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Step back."""
        self._events.unregister(_OPERATION, self._replace)
        self._close()

    def _close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _replace(self, params: dict[str, Any], **_: Any) -> None:
        """Put the zip into a request, and the digest of it all, which signing would read it for."""
        self._close()
        document = params["body"]
        quiet = ZipBody(document, self._path, lambda _count: None)
        digest = hashlib.sha256()
        while chunk := quiet.read(_CHUNK):
            digest.update(chunk)
        quiet.close()
        self._body = ZipBody(document, self._path, self._sent)
        params["body"] = self._body
        params["headers"]["X-Amz-Content-SHA256"] = digest.hexdigest()
