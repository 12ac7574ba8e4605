"""What programs in a container need of this machine's surroundings: its proxies, its certificates.

The addresses are those of the user's environment. Certificates are laid down as a file; passwords in
a proxy's address go into the environment of single programs and are told to their log as secrets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from layerkit.container.tarred import Entry
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerkit.container.room import Room

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# Who reads which: OpenSSL and Python, pip, requests, curl, git. The first that is set counts.
_CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
_NAME = "layerkit-ca.pem"


class Surroundings(Struct, frozen=True, kw_only=True):
    """The environment for programs that use the network.

    `secrets` are texts in it that no log may show, `certificates` is their path in the container.
    """

    environment: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    certificates: str | None = None


def lay_out(room: Room, environment: Mapping[str, str] | None = None) -> Surroundings:
    """Have in a container what it needs of this machine's environment, and return what programs are given.

    Raises StorageError for a file of certificates that is named and cannot be read.
    """
    environment = os.environ if environment is None else environment
    given = proxies(environment)
    secrets = passwords(given.values())
    named = next((environment[name] for name in _CERTIFICATES if environment.get(name)), None)
    if named is None:
        return Surroundings(environment=given, secrets=secrets)
    if not Path(named).is_file():
        raise StorageError("the file of certificates is not there", where=named)
    room.put("/", [Entry(name=_NAME, path=Path(named))])
    certificates = f"/{_NAME}"
    given |= dict.fromkeys(_CERTIFICATES, certificates)
    return Surroundings(environment=given, secrets=secrets, certificates=certificates)


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name proxies, as they are written here."""
    return {name: value for name in _both_cases(_PROXIES) if (value := environment.get(name))}


def passwords(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the passwords in addresses, as they stand there."""
    return tuple(password for address in addresses if (password := _password(address)))


def _both_cases(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield name
        yield name.upper()


def _password(address: str) -> str | None:
    """Return the password in an address, as it stands there."""
    try:
        return urlsplit(address).password
    except ValueError:
        return None
