"""Who may download from where, as uv finds it out, and keeping that out of everything shown.

uv's documentation gives the order: the address itself and the index it belongs to, then a netrc file,
then uv's own store of credentials, then the keyring program where that is switched on. The first two
are sent at once; the others are asked only after a server has refused an anonymous request.
"""

from __future__ import annotations

import os
import threading
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from layerkit.fetch import uv_settings
from layerkit.redaction import strip_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerkit.fetch.uv_settings import Index, Settings

_PORTS = {"https": 443, "http": 80}
_KEYRING_PATIENCE = 60.0


class Auth(Struct, frozen=True, kw_only=True):
    """A user and a password, and where they were found, which is all that may be shown."""

    user: str
    password: str
    source: str

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return what may be shown."""
        return [("source", self.source)]

    def __repr__(self) -> str:
        """Return what may be shown."""
        return f"Auth(source={self.source!r})"

    def header(self) -> str:
        """Return the value of an Authorization header."""
        from base64 import b64encode

        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


class Credentials:
    """Everything that may open an index, for one project. Threads may share it."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        """Keep what is known; netrc, uv's store and the keyring are asked when they are needed."""
        self.settings = settings
        self.environment = environment
        self._accepted: dict[Realm, Auth] = {}
        self._asked: dict[tuple[str, str | None], Auth | None] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        folder: Path | None = None,
        *,
        arguments: Sequence[str] = (),
        addresses: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Credentials:
        """Read uv's settings for a project in `folder`.

        `arguments` are the index options that the project's files give uv, `addresses` the direct
        URLs of its requirements; both may have users and passwords in them.
        """
        environment = os.environ if environment is None else environment
        settings = uv_settings.read(folder, arguments, environment)
        direct = tuple(uv_settings.index(address, "a requirement") for address in addresses)
        return cls(replace(settings, indexes=direct + settings.indexes), environment)

    def candidates(self, url: str) -> Iterator[Auth | None]:
        """Give what to try for an address, in order; None is an anonymous request.

        The caller goes on to the next when the server refuses one.
        """
        indexes = _belonging(self.settings.indexes, url)
        if indexes and indexes[0].never:
            yield None
            return
        given: set[tuple[str, str]] = set()
        for auth in self._in_order(url, indexes):
            if auth is None:
                if not given:
                    yield None
            elif (auth.user, auth.password) not in given:
                given.add((auth.user, auth.password))
                yield auth

    def accept(self, url: str, auth: Auth | None) -> None:
        """Remember that a server took these, to begin with them for its other files."""
        realm = Realm.of(url)
        if auth is not None and realm is not None:
            self._accepted[realm] = auth

    def _in_order(self, url: str, indexes: Sequence[Index]) -> Iterator[Auth | None]:
        user, password = uv_settings.user_of(url)
        if user is not None and password is not None:
            yield Auth(user=user, password=password, source="the address")
        for index in indexes:
            if index.password is not None:
                yield Auth(user=index.user or "", password=index.password, source=index.source)
        realm = Realm.of(url)
        if realm is not None and realm in self._accepted:
            yield self._accepted[realm]
        yield None
        tokens = [index.user for index in indexes if index.user and index.password is None]
        if user is not None and password is None:
            tokens = [user]
        for name in [user] if user is not None else [*dict.fromkeys(tokens), None]:
            yield from _from_netrc(url, name, self.environment)
            yield from _from_uv_store(url, name, self.environment)
            if self.settings.keyring:
                yield from self._from_keyring(url, name, indexes)
        for token in tokens:  # some indexes take a token in place of the user's name
            yield Auth(user=token, password="", source="the user name alone")

    def _from_keyring(self, url: str, user: str | None, indexes: Sequence[Index]) -> Iterator[Auth]:
        """Ask the keyring program for the index, then for the host; each question once per run."""
        services = [*(index.url for index in indexes), urlsplit(strip_credentials(url)).netloc]
        for service in services:
            with self._lock:
                if (service, user) not in self._asked:
                    self._asked[service, user] = _ask_keyring(service, user)
            if auth := self._asked[service, user]:
                yield auth


class Realm(Struct, frozen=True, kw_only=True):
    """A scheme, host and port: what credentials are good for."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Realm | None:
        """Return the realm of an http or https address, None for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return None
        if port is None or parts.hostname is None or parts.scheme not in _PORTS:
            return None
        return cls(scheme=parts.scheme, host=parts.hostname, port=port)


def _belonging(indexes: Iterable[Index], url: str) -> list[Index]:
    """Return the indexes of an address's realm, those that share most of its path first."""
    realm = Realm.of(url)
    same = [index for index in indexes if realm is not None and Realm.of(index.url) == realm]
    return sorted(same, key=lambda index: -_shared(index.url, url))


def _shared(one: str, other: str) -> int:
    """Return how many leading parts of their paths two addresses have in common."""
    pairs = zip(_parts(one), _parts(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _parts(url: str) -> list[str]:
    return [part for part in urlsplit(url).path.split("/") if part]


def _from_netrc(url: str, user: str | None, environment: Mapping[str, str]) -> Iterator[Auth]:
    import netrc

    host = urlsplit(url).hostname or ""
    path = Path(environment.get("NETRC") or _home(environment, ".netrc")).expanduser()
    try:
        entry = netrc.netrc(str(path)).authenticators(host)
    except (OSError, ValueError, netrc.NetrcParseError):
        return
    if entry is not None and entry[2] and user in (None, entry[0]):
        yield Auth(user=entry[0] or "", password=entry[2], source=str(path))


def _from_uv_store(url: str, user: str | None, environment: Mapping[str, str]) -> Iterator[Auth]:
    """Give what `uv auth login` has kept, from its plain text file."""
    data = environment.get("XDG_DATA_HOME") or _home(environment, ".local/share")
    folder = environment.get("UV_CREDENTIALS_DIR") or Path(data, "uv/credentials")
    document = uv_settings.load(Path(folder, "credentials.toml")) or {}
    for entry in document.get("credential", []):
        service, name, password = (entry.get(key) or "" for key in ("service", "username", "password"))
        within = Realm.of(service) == Realm.of(url) and _shared(service, url) == len(_parts(service))
        if within and user in (None, name):
            yield Auth(user=name, password=password, source="uv auth login")


def _home(environment: Mapping[str, str], path: str) -> Path:
    return Path(environment.get("HOME") or "~").expanduser() / path


def _ask_keyring(service: str, user: str | None) -> Auth | None:
    """Run `keyring get`, which prints the password, or in the mode `creds` the user as well."""
    import subprocess

    question = ["get", service, user] if user else ["--mode", "creds", "get", service]
    try:
        answer = subprocess.run(  # noqa: S603 - the user switched this program on
            ["keyring", *question],  # noqa: S607 - found as uv finds it, on PATH
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_KEYRING_PATIENCE,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    lines = answer.stdout.splitlines()
    if answer.returncode or len(lines) < (1 if user else 2):
        return None
    return Auth(user=user or lines[0], password=lines[0] if user else lines[1], source="the keyring")
