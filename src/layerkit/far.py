"""A bucket of S3, or of what speaks as it does, as a place of objects: read, sent, listed, removed.

What goes wrong is AWS's or the network's, and told by `expected`; whoever asks decides what that costs.
"""

from __future__ import annotations

import hashlib
import re
import threading
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.digests import sha256_of
from layerkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1 << 20
_TRIES = 3
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


class Far(Struct, frozen=True, kw_only=True):
    """A bucket and what the keys of the store begin with."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str, where: str) -> Far:
        """Return what `s3://bucket/prefix` says. Raises ConfigError."""
        found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/*", text)
        if found is None:
            raise ConfigError(
                f"{text!r} is no address of a shared store", where=where, fix="write s3://BUCKET/PREFIX"
            )
        return cls(bucket=found[1], prefix=f"{found[2]}/" if found[2] else "")

    def __str__(self) -> str:
        """Return the address."""
        return f"s3://{self.bucket}/{self.prefix}"


class DamagedError(Exception):
    """An object's content is not what its digests say."""


class Bucket:
    """The objects of one bucket; threads may share it. Nothing is imported before something is asked."""

    __slots__ = ("_client", "_connections", "_lock", "_name")

    def __init__(self, name: str, connections: int) -> None:
        """Name the bucket, and how many may ask at once."""
        self._name = name
        self._connections = connections
        self._client: Any = None
        self._lock = threading.Lock()

    def read(self, key: str, path: Path, wanted: str | None = None) -> tuple[int, str]:
        """Write an object into a draft; return its size and its sha256.

        That must be the one that was said and, where one is given, the wanted. Raises DamagedError. An answer
        that breaks off is asked for again: the SDK does so only for answers that do not begin.
        """
        from botocore.exceptions import HTTPClientError

        for left in reversed(range(_TRIES)):
            answer = self.client().get_object(Bucket=self._name, Key=key)
            try:
                count, found = _written(_chunks(answer["Body"]), path)
            except _CutError as error:
                if left:
                    continue
                raise HTTPClientError(error=error) from error
            if {found} != {answer["Metadata"].get("sha256"), wanted or found}:
                break
            return count, found
        raise DamagedError

    def has(self, key: str) -> bool:
        """Say whether an object is there."""
        try:
            self.client().head_object(Bucket=self._name, Key=key)
        except Exception as error:
            if not absent(error):
                raise
            return False
        return True

    def send(self, path: Path, key: str, wanted: str | None = None) -> int:
        """Send a file, which appears whole or not at all; return its size.

        One whose sha256 is not the wanted, for somebody wrote there meanwhile, is not sent.
        """
        found = sha256_of(path)
        if found != (wanted or found):
            return 0
        self.client().upload_file(str(path), self._name, key, ExtraArgs={"Metadata": {"sha256": found}})
        return path.stat().st_size

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client().delete_object(Bucket=self._name, Key=key)

    def objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield Key, Size and LastModified of the objects that begin so."""
        pages = self.client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._name, Prefix=prefix):
            yield from page.get("Contents", ())

    def client(self) -> Any:
        """Return the client, made when it is first wanted."""
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config
                from botocore.exceptions import InvalidEndpointConfigurationError

                config = Config(
                    connect_timeout=5,
                    read_timeout=60,
                    max_pool_connections=self._connections,
                    retries={"mode": "standard", "max_attempts": 3},
                )
                try:
                    self._client = boto3.session.Session().client("s3", config=config)
                except ValueError as error:  # AWS_ENDPOINT_URL is no address
                    raise InvalidEndpointConfigurationError(msg=str(error)) from error
            return self._client


def expected(error: Exception) -> bool:
    """Say whether AWS or the network is to blame."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return isinstance(error, BotoCoreError | ClientError | Boto3Error | HTTPError | OSError)


def absent(error: Exception) -> bool:
    """Say whether the object is not there, and nothing else is wrong."""
    return code(error) in _ABSENT


def code(error: Exception) -> str:
    """Return AWS's word for an error; empty where it is none of AWS's."""
    found = getattr(error, "response", {})
    return str(found.get("Error", {}).get("Code", "")) if isinstance(found, dict) else ""


def words(error: Exception) -> str:
    """Return one line about an error, without addresses that could hold credentials."""
    return code(error) or type(error).__name__


class _CutError(Exception):
    """An answer broke off."""


def _chunks(body: Any) -> Iterator[bytes]:
    """Yield an answer's content. Raises _CutError: that is no fault of the file it is written to."""
    try:
        yield from body.iter_chunks(_CHUNK)
    except Exception as error:
        if not expected(error):
            raise
        raise _CutError(str(error)) from error


def _written(chunks: Iterator[bytes], path: Path) -> tuple[int, str]:
    """Write a file; return its size and sha256."""
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            count += file.write(chunk)
    return count, digest.hexdigest()
