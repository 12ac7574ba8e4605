"""Wheels into the store: downloaded side by side, and hashed while they pass by.

A wheel is in the store only when its sha256 is the lock's; a file that changed under its name fails
at once, a server or a line that falters is tried again a bounded number of times. Two runs that want
the same wheel download it once: the second waits for the first one's lock and finds the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from layerkit.errors import NetworkError, WheelError
from layerkit.fetch.answers import KIND, RELOCK, SOURCES, SUFFIX, Body, Downloadable, shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerkit.fetch.credentials import Credentials
    from layerkit.fetch.download import Progress
    from layerkit.store import Store

__all__ = ["KIND", "SOURCES", "SUFFIX", "Downloadable", "fetch"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_SHOWN = 10


class _Quiet:
    def start(self, total_bytes: int | None, count: int) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def done(self) -> None:
        pass


def fetch(
    refs: Sequence[Downloadable],
    store: Store,
    *,
    credentials: Credentials | None = None,
    progress: Progress | None = None,
    offline: bool = False,
) -> None:
    """Put every wheel, and every source archive, that is not there yet into the store.

    Raises NetworkError when one cannot be had, WheelError when one is not what the lock says, and
    StorageError when the store cannot take it. After any of these, and after Ctrl-C, all downloads
    have ended and no half of a wheel is left behind.
    """
    store.bring("wheels", [ref.sha256 for ref in refs if shelf(ref) == ("wheels", ".whl")], ".whl")
    missing = {ref.sha256: ref for ref in refs if not _present(ref, store)}
    if not missing:
        return
    if credentials is None:
        from layerkit.fetch.credentials import Credentials

        credentials = Credentials.load()
    local = {digest: path for digest, ref in missing.items() if (path := _local(ref)) is not None}
    remote = [ref for digest, ref in missing.items() if digest not in local]
    if remote and (offline or credentials.settings.offline):
        raise _offline_error(remote)
    for digest, path in local.items():
        _copy(missing[digest], path, store)
    if remote:
        from layerkit.fetch.download import download

        download(remote, store, credentials, progress or _Quiet())


def _present(ref: Downloadable, store: Store) -> bool:
    if not _SHA256.fullmatch(ref.sha256):
        raise WheelError("the lock has no sha256 for this wheel", where=ref.filename, fix=RELOCK)
    kind, suffix = shelf(ref)
    return store.find(kind, ref.sha256, suffix, size=ref.size) is not None


def _local(ref: Downloadable) -> str | None:
    """Return the path of a wheel that lies on this machine."""
    if ref.path is not None:
        return ref.path
    if ref.url is not None and ref.url.startswith("file:"):
        return unquote(urlsplit(ref.url).path)
    return None


def _offline_error(refs: Sequence[Downloadable]) -> NetworkError:
    names = sorted(ref.filename for ref in refs)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    noun = "a wheel is" if len(names) == 1 else f"{len(names)} wheels are"
    return NetworkError(
        f"{noun} not in the store, and downloads are switched off: {shown}",
        fix="Run once without --offline (and without UV_OFFLINE)",
    )


def _copy(ref: Downloadable, path: str, store: Store) -> None:
    """Copy a local wheel in; the bytes that are hashed are the bytes that are kept."""
    kind, suffix = shelf(ref)
    with store.publish(kind, ref.sha256, suffix) as temporary:
        body = Body(ref)
        try:
            source = open(path, "rb")  # noqa: SIM115, PTH123 - closed below; its error is told apart
        except OSError as error:
            raise WheelError(
                f"the wheel cannot be read: {error.strerror}", where=path, fix="Renew the lock: layerkit lock"
            ) from None
        with source, temporary.open("wb") as target:
            while chunk := source.read(_CHUNK):
                body.take(chunk)
                target.write(chunk)
        body.verify(path, complete=True)
