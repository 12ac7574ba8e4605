"""Frames that lie in S3: read by ranges, through the runtime's SDK or plain HTTP."""

from __future__ import annotations

import os
import sys
import time

from .errors import BundleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 3
_PAUSE = 0.2  # seconds before the second try, and twice as much before the third
_TIMEOUT = 10  # seconds: the init phase has no more
_PARTIAL = 206  # the HTTP status of a range


def reader(remote: str, name: str) -> Callable[[int, int], bytes]:
    """Return what reads a range of the file `name` below `remote`: s3://bucket/prefix or https://...

    An address with a query is that of the file itself, and signed.
    """
    if not remote:
        raise BundleError(f"nothing says where {name} lies: set LAYERKIT_REMOTE, such as s3://bucket/prefix")
    address = remote if "?" in remote else f"{remote.rstrip('/')}/{name}"
    return _from_s3(address) if address.startswith("s3://") else _from_web(address)


def _from_s3(address: str) -> Callable[[int, int], bytes]:
    runtime = os.environ.get("LAMBDA_RUNTIME_DIR")
    if runtime and runtime not in sys.path:  # as in the wrapper, which starts with a bare Python
        sys.path.append(runtime)
    try:
        import boto3

        client = boto3.client("s3")
    except Exception as error:
        raise BundleError(f"{address} cannot be read: {error}") from error
    bucket, _, key = address[len("s3://") :].partition("/")

    def read(offset: int, length: int) -> bytes:
        try:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={offset}-{offset + length - 1}")
            return bytes(answer["Body"].read())
        except Exception as error:
            raise BundleError(f"{address} cannot be read: {error}") from error

    return read


def _from_web(address: str) -> Callable[[int, int], bytes]:
    from urllib.request import Request, urlopen

    def attempt(offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        request = Request(address, headers=wanted)  # noqa: S310 - the project's own address
        with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            if answer.status != _PARTIAL:
                raise OSError(f"a range is answered with status {answer.status}")
            return bytes(answer.read())

    def read(offset: int, length: int) -> bytes:
        failure: object = None
        for number in range(_TRIES):
            time.sleep(number * _PAUSE)
            try:
                return attempt(offset, length)
            except OSError as error:
                failure = error
        raise BundleError(f"{address.partition('?')[0]} cannot be read: {failure}")

    return read
