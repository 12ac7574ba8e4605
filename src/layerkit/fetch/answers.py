"""What a server's answer amounts to: the wheel, another try, other credentials, or an error in words."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from layerkit.errors import NetworkError, WheelError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urllib3 import BaseHTTPResponse

    from layerkit.fetch.credentials import Auth

KIND = "wheels"
SUFFIX = ".whl"
SOURCES = "sdists"
_SOURCE_ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
RELOCK = "If the new file is the one you want, renew the lock: layerkit lock"
GONE = frozenset({404, 410})
_OK = 200
_REFUSED = frozenset({401, 403})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PROXY_REFUSED = 407


class Downloadable(Protocol):
    """What is known of a wheel or a source archive; a WheelRef is one. `size` counts bytes."""

    @property
    def filename(self) -> str:
        """The file's name."""

    @property
    def sha256(self) -> str:
        """The sha256 its bytes must have, in small hex digits."""

    @property
    def size(self) -> int | None:
        """Its size, where it is known."""

    @property
    def url(self) -> str | None:
        """Where it can be downloaded."""

    @property
    def path(self) -> str | None:
        """Where it lies on this machine; comes before `url`."""


def shelf(ref: Downloadable) -> tuple[str, str]:
    """Return the kind and the suffix by which the store knows a file: those of wheels, or of sources."""
    return (SOURCES, "") if ref.filename.endswith(_SOURCE_ENDINGS) else (KIND, SUFFIX)


class AgainError(Exception):
    """An attempt failed in a way that another may mend; `wait` is what the server asked for."""

    def __init__(self, words: str, wait: float | None = None) -> None:
        """Keep the words for the error that comes of it when no attempt is left."""
        super().__init__(words)
        self.words = words
        self.wait = wait


class RefusedError(Exception):
    """The server wants other credentials, or will give the file to nobody."""

    def __init__(self, status: int, url: str) -> None:
        """Keep the answer and who gave it."""
        super().__init__(status)
        self.status = status
        self.url = url


class Body:
    """The bytes of a wheel as they come: counted, hashed, and judged at the end."""

    def __init__(self, ref: Downloadable) -> None:
        """Begin with nothing."""
        self._ref = ref
        self._hash = hashlib.sha256()
        self._head = b""
        self.count = 0

    def take(self, chunk: bytes) -> None:
        """Count and hash the next bytes."""
        self._hash.update(chunk)
        self._head = self._head or chunk[:256]
        self.count += len(chunk)

    @property
    def too_long(self) -> bool:
        """Say whether more came than the lock knows of."""
        return self._ref.size is not None and self.count > self._ref.size

    def verify(self, source: str, *, complete: bool) -> None:
        """Raise if these are not the bytes that the lock names.

        `complete` says that all came which was announced; else a short body is one that broke off.
        """
        ref, found = self._ref, self._hash.hexdigest()
        if found == ref.sha256:
            return
        where = f"{ref.filename} from {redact(source)}"
        if self._head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            raise NetworkError(
                "a web page came instead of the wheel, perhaps the login page of a proxy or an index",
                where=where,
                fix="Open the address in a browser; give credentials or set HTTPS_PROXY as it wants them",
            )
        if ref.size is not None and self.count < ref.size and not complete:
            raise AgainError(f"the body ended after {self.count:,} of {ref.size:,} bytes")
        got = f"sha256 is {found}" if not self.too_long else f"it is longer than {ref.size:,} bytes"
        raise WheelError(
            f"this is not the file that was locked: {got}, the lock has sha256 {ref.sha256}",
            where=where,
            fix=RELOCK,
        )


def look_at_status(response: BaseHTTPResponse, ref: Downloadable, url: str) -> None:
    """Raise for every answer that is not the file."""
    status = response.status
    if status == _OK:
        return
    answered = f"the server answered {status} {response.reason or ''}".rstrip()
    if status in _REFUSED or status in GONE:
        raise RefusedError(status, url)
    if status in _PASSING:
        raise AgainError(answered, _retry_after(response.headers.get("Retry-After")))
    fix = None
    if status == _PROXY_REFUSED:
        fix = "Put the proxy's user and password into HTTPS_PROXY or HTTP_PROXY"
    raise NetworkError(f"{ref.filename} could not be downloaded: {answered}", where=redact(url), fix=fix)


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or as a date."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    from email.utils import parsedate_to_datetime
    from time import time

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError):
        return None


def unavailable(ref: Downloadable, failed: AgainError, attempts: int) -> NetworkError:
    """Say that the attempts are used up, or that the server asks for too long a pause."""
    tries = "" if attempts == 1 else f" in {attempts} attempts"
    asked = f", and asks to wait for {failed.wait:,.0f} seconds" if failed.wait else ""
    return NetworkError(
        f"{ref.filename} could not be downloaded{tries}: {failed.words}{asked}",
        where=redact(ref.url or ""),
        fix="Look at the network and the proxy (HTTPS_PROXY, NO_PROXY), or try later;"
        " UV_HTTP_TIMEOUT and UV_HTTP_RETRIES give more patience",
    )


def refusal(ref: Downloadable, refused: RefusedError, tried: Sequence[Auth]) -> NetworkError:
    """Say what is missing: credentials, better ones, or the file."""
    if refused.status in GONE:
        return NetworkError(
            f"{ref.filename} is not there any more (the server answered {refused.status})",
            where=redact(ref.url or ""),
            fix="The lock may be older than the index; renew it: layerkit lock",
        )
    host = urlsplit(refused.url).hostname
    sources = list(dict.fromkeys(auth.source for auth in tried))
    what = f"the server refused the user and password from {' and '.join(sources)}"
    if not sources:
        what = "the server wants a user and a password"
    return NetworkError(
        f"{ref.filename} could not be downloaded: {what} ({refused.status})",
        where=redact(ref.url or ""),
        fix="Give them in the index's URL, in UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD,"
        f" in ~/.netrc, or with `uv auth login {host}`",
    )
