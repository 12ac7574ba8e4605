"""Zips that AWS has: how much they unzip to, from their ends alone, and whole ones where they are compared.

The addresses that AWS gives are signed and good for minutes; they are shown nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import zipfile
from typing import TYPE_CHECKING, Any, TypeVar

from layerkit.errors import AwsError
from layerkit.output import draft

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerkit.publish.calls import Calls

T = TypeVar("T")

_BLOCK = 1 << 17  # bytes asked for at once: the directory of most zips, and the record at their end
_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")
_WHOLE, _PART = 200, 206


def unzipped_size(calls: Calls, address: str, where: str) -> int:
    """Return the sum of the sizes of a zip's members, read from its directory. Raises AwsError."""
    try:
        remote = io.BufferedReader(_Remote(calls, address, where), _BLOCK)
        with zipfile.ZipFile(remote) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise AwsError(f"what AWS has is no zip that can be read: {error}", where=where) from None


def download(calls: Calls, address: str, path: Path, *, where: str, code_sha256: str) -> None:
    """Write the zip at an address to `path`, where it appears whole and with that digest or not at all.

    `code_sha256` is base64, as AWS has it. Raises AwsError and StorageError.
    """

    def save(response: Any) -> None:
        from botocore.exceptions import IncompleteReadError

        digest = hashlib.sha256()
        with draft(path) as name, name.open("wb") as file:
            for chunk in response.raw.stream(_CHUNK):
                calls.go_on()
                digest.update(chunk)
                file.write(chunk)
            stated = response.headers.get("Content-Length", "")
            if stated.isdecimal() and file.tell() < int(stated):
                raise IncompleteReadError(actual_bytes=file.tell(), expected_bytes=int(stated))
            if base64.b64encode(digest.digest()).decode() != code_sha256:
                what = f"what came is not what Lambda has: its sha256 is not {code_sha256}"
                raise AwsError(what, where=where, fix="try again; if it stays so, publish the layer anew")

    calls.ask("s3:GetObject", lambda: _get(address, {}, _WHOLE, save), where=where)


class _Remote(io.RawIOBase):
    """A file at an address, read in parts; its end comes at once, for there the directory lies."""

    def __init__(self, calls: Calls, address: str, where: str) -> None:
        self._calls, self._address, self._where = calls, address, where
        self._end, self._size = self._part(f"bytes=-{_BLOCK}")
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        first = self._size - len(self._end)
        if self._at >= first:
            data = self._end[self._at - first : stop - first]
        else:
            data, _ = self._part(f"bytes={self._at}-{stop - 1}")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _part(self, span: str) -> tuple[bytes, int]:
        """Return the bytes of one part, and the size of the whole."""

        def read(response: Any) -> tuple[bytes, int]:
            size = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            return response.content, int(size[1]) if size else 0

        return self._calls.ask(
            "s3:GetObject", lambda: _get(self._address, {"Range": span}, _PART, read), where=self._where
        )


def _get(address: str, headers: dict[str, str], expected: int, read: Callable[[Any], T]) -> T:
    """Return what `read` makes of the answer; proxy and certificates are those that botocore would take.

    Raises what botocore raises.
    """
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies
    from urllib3.exceptions import HTTPError

    certificates: Any = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    session = URLLib3Session(verify=certificates, proxies=get_environ_proxies(address))
    try:
        request = AWSRequest(method="GET", url=address, headers=headers, stream_output=True).prepare()
        response = session.send(request)
        if response.status_code != expected:
            answer: Any = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": response.status_code}}
            raise ClientError(answer, "GetObject")
        return read(response)
    except HTTPError as error:  # it broke off while it was read, where botocore looks no more
        raise HTTPClientError(error=error) from error
    finally:
        session.close()
