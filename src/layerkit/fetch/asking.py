"""Requests for stretches of one wheel, with the credentials its server takes, tried again if that helps."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from layerkit.errors import NetworkError
from layerkit.fetch.answers import AgainError, RefusedError, look_at_status, refusal, unavailable
from layerkit.fetch.download import waits
from layerkit.fetch.transport import Transport, certificate, reason
from layerkit.redaction import redact, strip_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse

    from layerkit.fetch.answers import Downloadable
    from layerkit.fetch.credentials import Auth, Credentials

T = TypeVar("T")

PART = 206
UNRANGED = "give this machine more room, or an index that answers requests for ranges"
_LONGEST_WAIT = 60.0  # seconds that a server may ask for


class Asking:
    """Requests for one wheel, with the credentials that its server takes."""

    def __init__(self, ref: Downloadable, credentials: Credentials) -> None:
        """Ask nothing yet."""
        self.ref, self._credentials = ref, credentials
        self._transport = Transport(credentials.settings, credentials.environment, threads=1)

    def get(self, span: str, *, whole: bool = False) -> BaseHTTPResponse:
        """Ask for a range; with `whole` all of it is an answer, too. Raises AgainError, NetworkError."""
        url, refused = self.ref.url or "", None
        tried: list[Auth] = []
        for auth in self._credentials.candidates(url):
            tried += [auth] if auth is not None else []
            with self.broken():
                response = self._transport.get(strip_credentials(url), auth.header() if auth else None, span)
            try:
                if response.status != PART:
                    look_at_status(response, self.ref, url)
            except RefusedError as error:
                refused = error
                response.close()
                continue
            self._credentials.accept(url, auth)
            if response.status == PART or whole:
                return response
            response.close()
            raise NetworkError("the server gives no ranges", where=redact(url), fix=UNRANGED)
        if refused is None:
            raise NetworkError("there is no address for this wheel", where=self.ref.filename)
        raise refusal(self.ref, refused, tried)

    def answered(self, ask: Callable[[], BaseHTTPResponse], read: Callable[[BaseHTTPResponse], T]) -> T:
        """Return what `read` makes of an answer, which is closed; see `persist`."""

        def once() -> T:
            with contextlib.closing(ask()) as response, self.broken():
                return read(response)

        return self.persist(once)

    def persist(self, attempt: Callable[[], T]) -> T:
        """Return what an attempt gives; what fails in passing is tried again. Raises NetworkError."""
        for wait in waits(self._credentials.settings.retries + 1):
            try:
                return attempt()
            except AgainError as failed:  # noqa: PERF203 - as often as it fails
                self._pause(failed, wait)
        raise AssertionError  # the last pause raises

    def _pause(self, failed: AgainError, wait: float | None) -> None:
        """Wait before another attempt; after the last one raise NetworkError."""
        if wait is None:
            raise unavailable(self.ref, failed, self._credentials.settings.retries + 1) from None
        time.sleep(wait if failed.wait is None else min(failed.wait, _LONGEST_WAIT))

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """Turn a connection that fails into another attempt, or into an error that none will mend."""
        from urllib3.exceptions import HTTPError

        try:
            yield
        except HTTPError as error:
            words = reason(error, self._credentials.settings.timeout)
            if certificate(error):
                raise NetworkError(words, where=redact(self.ref.url or "")) from None
            raise AgainError(words) from None

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
