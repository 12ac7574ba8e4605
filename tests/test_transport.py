"""Proxies and certificates by the environment; the rest of the transport is shown in test_fetch."""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING

import pytest

from layerkit.errors import NetworkError
from layerkit.fetch.transport import Transport, proxy_for, tls_context
from layerkit.fetch.uv_settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PROXIES = {"HTTPS_PROXY": "http://secure:1", "http_proxy": "plain:2", "HTTP_PROXY": "http://passed-over:3"}


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://host/x", PROXIES, "http://secure:1"),
        ("http://host/x", PROXIES, "http://plain:2"),
        ("https://host/x", {"ALL_PROXY": "http://all:4"}, "http://all:4"),
        ("https://host/x", {"HTTP_PROXY": "http://a", "HTTPS_PROXY": ""}, None),
        ("https://host/x", {}, None),
    ],
)
def test_the_proxy_is_the_one_for_the_scheme(
    url: str, environment: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, environment) == proxy


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        ("https://host.corp/x", "corp", True),
        ("https://host.corp/x", ".corp", True),
        ("https://host.corp/x", "*.corp", True),
        ("https://host.corp/x", "other, host.CORP", True),
        ("https://hostcorp/x", "corp", False),
        ("https://corp.host/x", "corp", False),
        ("https://host/x", "*", True),
        ("https://host/x", " , ", False),
        ("https://10.1.2.3/x", "10.0.0.0/8", True),
        ("https://11.1.2.3/x", "10.0.0.0/8", False),
        ("https://10.1.2.3/x", "10.1.2.3", True),
        ("https://[::1]:8443/x", "::1", True),
    ],
)
def test_no_proxy_names_domains_addresses_and_networks(url: str, exceptions: str, *, direct: bool) -> None:
    environment = {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": exceptions}
    assert (proxy_for(url, environment) is None) is direct


def test_a_socks_proxy_is_an_error_without_its_password() -> None:
    transport = Transport(Settings(), {"ALL_PROXY": "socks5://me:s3cr3t@proxy:1"}, threads=1)
    with pytest.raises(NetworkError, match="only http and https proxies") as caught:
        transport.get("http://host/x", None)
    assert caught.value.where == "socks5://proxy:1"


def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the system have no certificates."""
    (tmp_path / "certs").mkdir()
    paths = ssl.DefaultVerifyPaths("", str(tmp_path / "certs"), "", "", "", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def test_without_any_certificate_there_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare(monkeypatch, tmp_path)
    with pytest.raises(NetworkError, match="no certificates") as caught:
        tls_context({}, system_only=True, needed=True)
    assert "ca-certificates" in str(caught.value)
    assert tls_context({}, system_only=True, needed=False) is not None


def test_certifi_stands_in_for_a_system_without_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not known:
        pytest.skip("this system has no certificates that could stand for certifi's")
    bare(monkeypatch, tmp_path)
    package = tmp_path / "packages" / "certifi"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cacert.pem").write_text(ssl.DER_cert_to_PEM_cert(known[0]))
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "certifi", raising=False)
    assert tls_context({}, system_only=False, needed=True).cert_store_stats()["x509_ca"] == 1
    with pytest.raises(NetworkError):
        tls_context({}, system_only=True, needed=True)


def test_a_client_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    client = str(tmp_path / "client.pem")
    with pytest.raises(NetworkError, match="SSL_CLIENT_CERT") as caught:
        tls_context({"SSL_CLIENT_CERT": client}, system_only=False, needed=False)
    assert caught.value.where == client
