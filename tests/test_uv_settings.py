"""uv's variables and files, in uv's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.pretty import pretty_repr

from layerkit.fetch.uv_settings import Settings, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project" / "member").mkdir(parents=True)
    return tmp_path / "project" / "member"


def settings(folder: Path | None, *arguments: str, **environment: str) -> Settings:
    home = str(folder.parent.parent / "home") if folder is not None else "/nonexistent"
    return read(folder, arguments, {"HOME": home, "XDG_CONFIG_DIRS": f"{home}/etc", **environment})


def urls(found: Settings) -> list[str]:
    return [index.url for index in found.indexes]


def test_without_anything_said_uvs_defaults_hold(folder: Path) -> None:
    found = settings(folder)
    assert (found.timeout, found.connect_timeout, found.retries, found.downloads) == (30.0, 10.0, 3, None)
    assert (found.keyring, found.offline, found.system_certs) == (False, False, False)
    assert (found.indexes, found.insecure_hosts) == ((), frozenset())


def test_the_command_line_comes_before_the_environment_before_files(folder: Path) -> None:
    (folder / "uv.toml").write_text(
        'index-url = "https://f/"\nfind-links = ["https://g/", "./wheels"]\n[[index]]\nurl = "https://e/"\n'
    )
    found = settings(
        folder,
        "--index-url",
        "https://a/",
        "--find-links=https://b/?x=y",
        "--pre",
        UV_INDEX="n=https://c/ https://d/",
    )
    hosts = ["a/", "b/?x=y", "c/", "d/", "e/", "f/", "g/"]
    assert urls(found) == [*(f"https://{host}" for host in hosts), "./wheels"]


def test_the_nearest_file_of_the_project_counts_and_then_the_users_and_the_systems(folder: Path) -> None:
    home = folder.parent.parent / "home"
    (home / ".config/uv").mkdir(parents=True)
    (home / "etc/uv").mkdir(parents=True)
    (folder.parent / "uv.toml").write_text('index-url = "https://too-far/"')
    (folder / "pyproject.toml").write_text('[[tool.uv.index]]\nurl = "https://project/"')
    (home / ".config/uv/uv.toml").write_text('index-url = "https://user/"\nkeyring-provider = "subprocess"')
    (home / "etc/uv/uv.toml").write_text('index-url = "https://system/"\nkeyring-provider = "disabled"')
    assert urls(settings(folder)) == ["https://project/", "https://user/", "https://system/"]
    assert settings(folder).keyring
    assert not settings(folder, UV_KEYRING_PROVIDER="disabled").keyring
    assert urls(settings(folder, UV_NO_CONFIG="1")) == []
    assert urls(settings(folder, UV_CONFIG_FILE=str(home / "etc/uv/uv.toml"))) == ["https://system/"]


def test_a_project_file_without_uvs_table_is_passed_on_the_way_up(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.other]\nindex-url = "https://not-uv/"')
    (folder.parent / "uv.toml").write_text('index-url = "https://workspace/"')
    assert urls(settings(folder)) == ["https://workspace/"]


@pytest.mark.parametrize(
    "text", ["not toml = =", "index = 3\nfind-links = [1]", 'index = [{name = "x"}, 4]', "pip = 1"]
)
def test_files_that_say_nothing_sensible_are_left_to_uv(folder: Path, text: str) -> None:
    (folder / "uv.toml").write_text(text)
    assert urls(settings(folder)) == []


def test_a_named_index_takes_its_own_variables_before_what_its_address_says() -> None:
    (found,) = settings(
        None,
        UV_DEFAULT_INDEX="my-own.index=https://old:older@host/simple",
        UV_INDEX_MY_OWN_INDEX_USERNAME="new",
        UV_INDEX_MY_OWN_INDEX_PASSWORD="newer",  # noqa: S106
    ).indexes
    assert (found.url, found.user, found.password) == ("https://host/simple", "new", "newer")
    assert found.source == "UV_INDEX_MY_OWN_INDEX_USERNAME and _PASSWORD"
    for shown in (repr(found), pretty_repr(found)):
        assert "new" not in shown
        assert "UV_INDEX_MY_OWN_INDEX_USERNAME" in shown


def test_an_address_with_an_equals_sign_has_no_name() -> None:
    (found,) = settings(None, UV_INDEX="https://me:a%2Fb@host/simple?a=b").indexes
    assert (found.url, found.user, found.password) == ("https://host/simple?a=b", "me", "a/b")


@pytest.mark.parametrize(
    ("environment", "timeout", "connect"),
    [
        ({"UV_HTTP_TIMEOUT": "5"}, 5, 5),
        ({"UV_REQUEST_TIMEOUT": "60", "HTTP_TIMEOUT": "7"}, 60, 10),
        ({"UV_HTTP_TIMEOUT": "soon", "HTTP_TIMEOUT": "90"}, 90, 10),
        ({"UV_HTTP_TIMEOUT": "-1"}, 30, 10),
        ({"UV_HTTP_CONNECT_TIMEOUT": "2.5"}, 30, 2.5),
    ],
)
def test_timeouts(environment: dict[str, str], timeout: float, connect: float) -> None:
    found = settings(None, **environment)
    assert (found.timeout, found.connect_timeout) == (timeout, connect)


def test_switches_and_numbers(folder: Path) -> None:
    (folder / "uv.toml").write_text(
        'native-tls = true\noffline = true\nconcurrent-downloads = 4\nallow-insecure-host = ["One:8443"]\n'
    )
    found = settings(folder, "--trusted-host", "two", UV_INSECURE_HOST="three four", UV_HTTP_RETRIES="0")
    assert (found.system_certs, found.offline, found.downloads, found.retries) == (True, True, 4, 0)
    assert found.insecure_hosts == {"one:8443", "two", "three", "four"}
    found = settings(folder, UV_OFFLINE="false", UV_CONCURRENT_DOWNLOADS="9", UV_SYSTEM_CERTS="0")
    assert (found.offline, found.downloads) == (False, 9)
