"""An object in S3 that is uploaded while it is written: nothing of it lies on disk."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from layerkit.errors import LayerkitError
from layerkit.publish.bucket import Requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerkit.publish.places import Place

T = TypeVar("T")

_PART = 8 << 20  # bytes of one part, of which S3 takes ten thousand


class _UnfinishedError(Exception):
    """What was to be uploaded will not be whole."""


def through_pipe(place: Place, bucket: str, key: str, write: Callable[[Path], T]) -> T:
    """Upload what `write` writes to the path that it is given, and return what it returns.

    The path is a pipe: written once, from its start to its end. Where `write` fails, no object comes to be.
    Raises what `write` raises, and AwsError.
    """
    with TemporaryDirectory(prefix="layerkit-") as folder:
        path = Path(folder, "pipe")
        os.mkfifo(path)
        # Both ends are open from the beginning, so that neither side waits for the other in vain, and the
        # end of the file is told when it is known that all of it was written.
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        writing = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(reading, True)
        upload = _Upload(place, bucket, key, reading)
        upload.thread.start()
        try:
            written = write(path)
        except BaseException:
            upload.given_up.set()
            raise
        finally:
            os.close(writing)
            upload.thread.join()
            if upload.error is not None and not isinstance(upload.error, _UnfinishedError):
                raise upload.error  # the reason why writing failed, too
        return written


class _Upload:
    """One upload, in a thread of its own: part by part, one of them in memory."""

    def __init__(self, place: Place, bucket: str, key: str, reading: int) -> None:
        self._objects = place.objects
        self._where: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._asking = Requests(place, "s3:PutObject", f"s3://{bucket}/{key}")
        self._file = os.fdopen(reading, "rb", buffering=0)
        self.given_up = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            first = self._part()
            if len(first) < _PART:
                self._asking.ask(lambda: self._objects.put_object(**self._where, Body=first))
            else:
                self._send(first)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self.error = error
        finally:
            self._file.close()  # whoever still writes is told so

    def _part(self) -> bytes:
        """Return the next bytes that were written, fewer than a part at the end."""
        part = bytearray()
        while len(part) < _PART and (piece := self._file.read(_PART - len(part))):
            part += piece
        if self.given_up.is_set():
            raise _UnfinishedError
        return bytes(part)

    def _send(self, part: bytes) -> None:
        """Send a part and all that follow; where one fails, take back those that were sent."""
        made = self._asking.ask(lambda: self._objects.create_multipart_upload(**self._where))
        upload = {**self._where, "UploadId": made["UploadId"]}
        sent: list[Any] = []
        try:
            while part:
                number = len(sent) + 1
                request = partial(self._objects.upload_part, **upload, PartNumber=number, Body=part)
                sent.append({"PartNumber": number, "ETag": self._asking.ask(request)["ETag"]})
                part = self._part()
            complete = partial(self._objects.complete_multipart_upload, **upload)
            self._asking.ask(lambda: complete(MultipartUpload={"Parts": sent}))
        except BaseException:
            with suppress(LayerkitError):
                self._asking.ask(lambda: self._objects.abort_multipart_upload(**upload))
            raise
