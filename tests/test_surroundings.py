from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from layerkit.container.surroundings import Surroundings, lay_out
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.container.tarred import Entry


class Shelf:
    """What stands for a room: it keeps what is put into it."""

    def __init__(self) -> None:
        self.put_there: list[tuple[str, Entry]] = []

    def put(self, folder: str, entries: list[Entry]) -> None:
        self.put_there += [(folder, entry) for entry in entries]


def furnished(environment: dict[str, str]) -> tuple[Surroundings, Shelf]:
    shelf: Any = Shelf()
    return lay_out(shelf, environment), shelf


def test_a_machine_without_proxies_gives_none() -> None:
    found, shelf = furnished({"HOME": "/root", "PATH": "/bin", "PIP_INDEX_URL": "https://me:word@h/"})
    assert found == Surroundings(environment={})
    assert shelf.put_there == []


def test_proxies_come_along_and_their_passwords_are_secrets() -> None:
    given = {
        "HTTPS_PROXY": "http://me:word@proxy:1",
        "https_proxy": "http://proxy:2",
        "NO_PROXY": "localhost",
    }
    found, _ = furnished({**given, "HTTP_PROXY": ""})
    assert found.environment == given
    assert found.secrets == ("word",)


def test_certificates_are_laid_down_and_everybody_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("CERTIFICATES")
    found, shelf = furnished({"REQUESTS_CA_BUNDLE": str(file), "CURL_CA_BUNDLE": "/elsewhere"})
    ((folder, entry),) = shelf.put_there
    assert f"{folder}{entry.name}" == found.certificates
    assert entry.path == file
    assert {found.environment[name] for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")} == {
        found.certificates
    }


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        furnished({"SSL_CERT_FILE": str(tmp_path / "nowhere")})
