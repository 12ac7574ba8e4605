"""What is tried for an address, in which order; that it is found at all is shown in test_fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.fetch.credentials import Auth, Credentials, Realm

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def tried(credentials: Credentials, url: str) -> list[tuple[str, str] | None]:
    return [(auth.user, auth.password) if auth else None for auth in credentials.candidates(url)]


def load(**environment: str) -> Credentials:
    return Credentials.load(environment={"HOME": "/nonexistent", **environment})


def test_the_address_comes_first_then_the_index_nearest_to_it() -> None:
    far, near = "https://far:1@host/simple", "https://near:2@host/feeds/a/simple"
    credentials = load(UV_INDEX=f"{far} {near}")
    assert tried(credentials, "https://host/feeds/a/x.whl") == [("near", "2"), ("far", "1")]
    assert tried(credentials, "https://me:0@host/simple/x.whl") == [("me", "0"), ("far", "1"), ("near", "2")]


def test_other_hosts_ports_and_schemes_get_nothing() -> None:
    credentials = load(UV_INDEX_URL="https://me:pw@host/simple")
    assert tried(credentials, "https://host:443/x.whl") == [("me", "pw")]
    for other in ("https://host:444/x", "http://host/x", "https://files.host/x", "https://host.other/x"):
        assert tried(credentials, other) == [None]


def test_a_netrc_is_asked_after_an_anonymous_request(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine host login me password pw\nmachine other login you password no\n")
    credentials = load(NETRC=str(netrc))
    assert tried(credentials, "https://host/x.whl") == [None, ("me", "pw")]
    assert tried(credentials, "https://someone@host/x.whl") == [None, ("someone", "")]
    netrc.write_text("machine host nonsense")
    assert tried(credentials, "https://host/x.whl") == [None]


def test_the_store_of_uv_is_for_its_service_and_what_lies_below(tmp_path: Path) -> None:
    entry = '[[credential]]\nservice = "{}"\nusername = "{}"\nscheme = "basic"\npassword = "pw"\n'
    text = entry.format("https://host/feeds/a/", "a") + entry.format("https://host/", "all")
    (tmp_path / "credentials.toml").write_text(text)
    credentials = load(UV_CREDENTIALS_DIR=str(tmp_path))
    assert tried(credentials, "https://host/feeds/a/x.whl") == [None, ("a", "pw"), ("all", "pw")]
    assert tried(credentials, "https://host/feeds/ab/x.whl") == [None, ("all", "pw")]
    assert tried(credentials, "https://all@host/feeds/a/x.whl") == [None, ("all", "pw"), ("all", "")]
    assert tried(credentials, "http://host/x.whl") == [None]


def test_a_token_in_place_of_a_user_is_the_last_resort() -> None:
    assert tried(load(UV_INDEX_URL="https://token@host/simple"), "https://host/x.whl") == [
        None,
        ("token", ""),
    ]


def test_what_was_taken_once_comes_before_an_anonymous_request() -> None:
    credentials = load()
    credentials.accept("https://host/a.whl", Auth(user="me", password="pw", source="here"))  # noqa: S106
    credentials.accept("https://other/a.whl", None)
    assert tried(credentials, "https://host/b.whl") == [("me", "pw")]
    assert tried(credentials, "https://other/b.whl") == [None]


def test_the_keyring_is_asked_for_user_and_password_where_no_user_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "keyring"
    program.write_text('#!/bin/sh\n[ "$*" = "--mode creds get host" ] || exit 1\necho me\necho pw\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    credentials = load(UV_KEYRING_PROVIDER="subprocess", UV_INDEX_URL="https://host/simple")
    assert tried(credentials, "https://host/x.whl") == [None, ("me", "pw")]
    program.unlink()
    assert tried(credentials, "https://host/x.whl") == [None, ("me", "pw")]  # asked once per run
    assert tried(load(UV_KEYRING_PROVIDER="subprocess"), "https://host/x.whl") == [None]


def test_nothing_secret_is_printed() -> None:
    credentials = load(UV_INDEX_URL="https://me:s3cr3t@host/simple")
    (auth,) = credentials.candidates("https://host/x.whl")
    assert auth is not None
    assert auth.header() == "Basic bWU6czNjcjN0"
    assert "s3cr3t" not in f"{credentials!r} {credentials.settings!r} {auth!r} {auth}"


def test_a_realm_is_scheme_host_and_port() -> None:
    assert Realm.of("https://HOST/x") == Realm(scheme="https", host="host", port=443)
    assert [
        Realm.of(url) for url in ("ftp://host/", "./wheels", "http://[", "http://host:x/", "file:///a")
    ] == [None] * 5
