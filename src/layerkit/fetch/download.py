"""The downloads of one run: threads over a queue, attempts with pauses, and an end at any moment."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import IO, TYPE_CHECKING, Protocol

from layerkit.errors import NetworkError, WheelError
from layerkit.fetch.answers import (
    GONE,
    RELOCK,
    AgainError,
    Body,
    RefusedError,
    look_at_status,
    refusal,
    shelf,
    unavailable,
)
from layerkit.fetch.credentials import Realm
from layerkit.fetch.transport import Transport, certificate, not_an_address, reason
from layerkit.redaction import redact, strip_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from urllib3 import BaseHTTPResponse

    from layerkit.fetch.answers import Downloadable
    from layerkit.fetch.credentials import Auth, Credentials
    from layerkit.store import Store

_CHUNK = 1 << 17
_MOST_THREADS = 16
# Seconds: the wait before the second attempt (doubled for each one after it), the longest wait of our
# own, the longest a server may ask for, and how long threads get to end when a run is given up.
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 10.0
_LONGEST_RETRY_AFTER = 60.0
_LAST_WORDS = 1.0


class Progress(Protocol):
    """Told how far the downloads are; `advance` is called by several threads, one at a time."""

    def start(self, total_bytes: int | None, count: int) -> None:
        """Hear that `count` wheels will be downloaded, and their size if it is known."""

    def advance(self, count: int) -> None:
        """Hear that `count` bytes came; less than none when a download begins anew."""

    def done(self) -> None:
        """Hear that it is over, well or not."""


class _StoppedError(Exception):
    """The run was given up; whoever raises this has nothing to add."""


def download(
    refs: Sequence[Downloadable], store: Store, credentials: Credentials, progress: Progress
) -> None:
    """Put wheels that are not in the store into it; see `layerkit.fetch.fetch`."""
    wanted = credentials.settings.downloads or _MOST_THREADS
    threads = max(1, min(wanted, len(refs)))
    transport = Transport(credentials.settings, credentials.environment, threads=threads)
    sizes = [ref.size for ref in refs]
    known = [size for size in sizes if size is not None]
    progress.start(sum(known) if len(known) == len(sizes) else None, len(refs))
    try:
        _Downloads(store, credentials, transport, progress).run(refs, threads)
    finally:
        progress.done()
        transport.close()


class _Downloads:
    """One run of several threads over a queue of wheels, the largest first."""

    def __init__(
        self, store: Store, credentials: Credentials, transport: Transport, progress: Progress
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._transport = transport
        self._progress = progress
        self._queue: deque[Downloadable] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._over = threading.Event()
        self._working = 0
        self._failure: BaseException | None = None
        self._responses: set[BaseHTTPResponse] = set()

    def run(self, refs: Sequence[Downloadable], threads: int) -> None:
        """Download all; the first failure ends the others and is raised."""
        self._queue.extend(sorted(refs, key=lambda ref: -(ref.size or 0)))
        # Daemons, because a thread that waits for a server's first byte cannot be woken: it holds
        # nothing yet, and the process need not wait for it.
        workers = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        self._working = threads
        try:
            for worker in workers:
                worker.start()
            self._over.wait()
        finally:
            self._end(workers)
        if self._failure is not None:
            raise self._failure

    def _end(self, workers: Sequence[threading.Thread]) -> None:
        """Stop what still runs: wake the threads that read, and let them remove what they wrote."""
        import time

        self._stop.set()
        with self._lock:
            responses = list(self._responses)
        for response in responses:
            with contextlib.suppress(ValueError, RuntimeError, OSError):  # it has just come to its end
                response.shutdown()
        deadline = time.monotonic() + _LAST_WORDS
        for worker in workers:
            if worker.ident is not None:
                worker.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    ref = self._queue.popleft()
                except IndexError:
                    break
                self._one(ref)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            with self._lock:
                self._failure = self._failure or error
            self._over.set()
        finally:
            with self._lock:
                self._working -= 1
                if not self._working:
                    self._over.set()

    def _one(self, ref: Downloadable) -> None:
        """Download one wheel, unless another process does so while this one waits."""
        if not ref.url:
            raise WheelError("the lock has no address for this wheel", where=ref.filename, fix=RELOCK)
        if Realm.of(ref.url) is None:
            raise not_an_address(ref.url)
        kind, suffix = shelf(ref)
        with self._store.lock(kind, ref.sha256):
            self._go_on()
            if self._store.find(kind, ref.sha256, suffix, size=ref.size) is not None:
                self._advance(ref.size or 0)
            else:
                self._with_credentials(ref, ref.url)

    def _with_credentials(self, ref: Downloadable, url: str) -> None:
        """Try one user and password after the other, until the server takes them."""
        refused: RefusedError | None = None
        tried: list[Auth] = []
        for auth in self._credentials.candidates(url):
            tried += [auth] if auth is not None else []
            refused = self._persist(ref, url, auth)
            if refused is None:
                self._credentials.accept(url, auth)
                return
            if auth is not None and refused.status in GONE:
                break
        if refused is not None:
            raise refusal(ref, refused, tried)

    def _persist(self, ref: Downloadable, url: str, auth: Auth | None) -> RefusedError | None:
        """Attempt a download until it succeeds, is refused, fails for good, or has failed often enough."""
        attempts = self._credentials.settings.retries + 1
        for wait in waits(attempts):
            failed = self._attempt(ref, url, auth)
            if not isinstance(failed, AgainError):
                return failed
            self._go_on()
            if wait is None or (failed.wait or 0) > _LONGEST_RETRY_AFTER:
                raise unavailable(ref, failed, attempts if wait is None else 1)
            self._stop.wait(wait if failed.wait is None else failed.wait)
            self._go_on()
        return None

    def _attempt(self, ref: Downloadable, url: str, auth: Auth | None) -> AgainError | RefusedError | None:
        """Download once; return what another attempt, or other credentials, may mend."""
        from urllib3.exceptions import HTTPError

        try:
            response = self._transport.get(strip_credentials(url), auth.header() if auth else None)
            with contextlib.closing(response):
                self._receive(ref, url, response)
        except (AgainError, RefusedError) as failed:
            return failed
        except HTTPError as error:
            words = reason(error, self._credentials.settings.timeout)
            if certificate(error):
                fix = "Let SSL_CERT_FILE name the certificates to trust, the one of your proxy included"
                raise NetworkError(words, where=redact(url), fix=fix) from None
            return AgainError(words)
        return None

    def _receive(self, ref: Downloadable, url: str, response: BaseHTTPResponse) -> None:
        """Write the body of a response into the store."""
        with self._lock:
            self._responses.add(response)
        body = Body(ref)
        try:
            self._go_on()  # from here on, the end of the run wakes this thread
            look_at_status(response, ref, url)
            with self._store.publish(shelf(ref)[0], ref.sha256, shelf(ref)[1]) as temporary:
                with temporary.open("wb") as target:
                    self._copy(response, body, target)
                body.verify(url, complete=response.headers.get("Content-Length") == str(body.count))
        except BaseException:
            self._advance(-body.count)
            raise
        finally:
            with self._lock:
                self._responses.discard(response)

    def _copy(self, response: BaseHTTPResponse, body: Body, target: IO[bytes]) -> None:
        for chunk in response.stream(_CHUNK, decode_content=True):
            self._go_on()
            body.take(chunk)
            self._advance(len(chunk))
            target.write(chunk)
            if body.too_long:
                return

    def _go_on(self) -> None:
        """Leave the thread's work where the run has been given up."""
        if self._stop.is_set():
            raise _StoppedError

    def _advance(self, count: int) -> None:
        if count:
            with self._lock:
                self._progress.advance(count)


def waits(attempts: int) -> Iterator[float | None]:
    """Give the seconds to wait after each attempt, None after the last; spread, so that runs part."""
    import random

    for attempt in range(attempts - 1):
        yield min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    yield None
