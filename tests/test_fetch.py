"""Downloads from servers that falter, refuse, lie or stop, on the loopback."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
import zipfile
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct
from msgspec.structs import astuple
from rich.pretty import pretty_repr

from layerkit import atomic
from layerkit.errors import LayerkitError, NetworkError, StorageError, WheelError
from layerkit.fetch import download, fetch
from layerkit.fetch.credentials import Credentials
from layerkit.store import Store
from loopback import Fault, Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "demo-1.0-py3-none-any.whl"
SECRET = "s3cr3t/@:"  # noqa: S105 - of this file only


class Ref(Struct, frozen=True):
    """A wheel of a lock, as far as a download needs to know it."""

    filename: str
    sha256: str
    size: int | None = None
    url: str | None = None
    path: str | None = None


class Meter:
    """A progress that can be asked afterwards."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.count = 0
        self.bytes = 0
        self.ended = 0

    def start(self, total_bytes: int | None, count: int) -> None:
        self.total, self.count = total_bytes, count

    def advance(self, count: int) -> None:
        self.bytes += count

    def done(self) -> None:
        self.ended += 1


def wheel(size: int = 300_000, seed: int = 0) -> bytes:
    """Return a wheel-like zip of about `size` bytes that do not compress."""
    data = hashlib.shake_256(b"%d" % seed).digest(size)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("demo/data.bin"), data)  # dated 1980: the same bytes at any time
    return file.getvalue()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, certificate, index or netrc of whoever runs the tests, and short pauses."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("UV_", "SSL_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("NETRC", raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "_FIRST_WAIT", 0.01)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def serve(server: Loopback, data: bytes | None = None, name: str = NAME, *, size: bool = True) -> Ref:
    data = wheel() if data is None else data
    digest = server.add(name, data)
    return Ref(name, digest, len(data) if size else None, server.address(name))


def content(store: Store, ref: Ref) -> bytes:
    return store.path("wheels", ref.sha256, ".whl").read_bytes()


def leftovers(store: Store) -> list[Path]:
    return [path for path in store.root.glob("wheels/*/.*") if atomic.is_temporary(path.name)]


def refuse(store: Store, ref: Ref, kind: type[LayerkitError]) -> LayerkitError:
    """Fetch in vain: the error of the right kind, nothing kept, nothing secret said."""
    with pytest.raises(kind) as caught:
        fetch([ref], store)
    assert not store.has("wheels", ref.sha256, ".whl")
    assert leftovers(store) == []
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_json())
    assert "s3cr3t" not in said
    return caught.value


def test_wheels_come_side_by_side_and_only_once(server: Loopback, store: Store) -> None:
    names = [f"demo{number}-1.0-py3-none-any.whl" for number in range(12)]
    refs = [serve(server, wheel(50_000, seed), name) for seed, name in enumerate(names)]
    for name in names:
        server.script(name, Fault(wait=0.1))
    meter = Meter()
    fetch([*refs, *refs], store, progress=meter)
    assert [content(store, ref) for ref in refs] == [server.files[name] for name in names]
    total = sum(map(len, server.files.values()))
    assert (meter.total, meter.count, meter.bytes, meter.ended) == (total, 12, total, 1)
    assert server.busiest > 4
    fetch(refs, store)
    assert [server.asked(name) for name in names] == [1] * 12


def test_the_number_of_downloads_at_a_time_is_uvs(
    server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [serve(server, wheel(1000, seed), f"demo{seed}-1-py3-none-any.whl") for seed in range(6)]
    for ref in refs:
        server.script(ref.filename, Fault(wait=0.03))
    monkeypatch.setenv("UV_CONCURRENT_DOWNLOADS", "2")
    fetch(refs, store)
    assert server.busiest == 2


FALTERING = {
    "503": Fault(status=503),
    "500 with a page": Fault(status=500, body=b"<html>sorry</html>"),
    "429": Fault(status=429, headers={"Retry-After": "0"}),
    "reset before the body": Fault(reset_after=0),
    "reset in the middle": Fault(reset_after=100_000),
    "truncated": Fault(end_after=100_000),
    "truncated without a length": Fault(end_after=100_000, length=False),
    "no answer": Fault(wait=1.0),
    "stuck in the middle": Fault(drip=(200_000, 1.0)),
}


@pytest.mark.parametrize("fault", FALTERING.values(), ids=FALTERING)
def test_what_falters_is_tried_again(
    server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "0.3")
    ref, meter = serve(server), Meter()
    server.script(NAME, fault, fault)
    fetch([ref], store, progress=meter)
    assert content(store, ref) == server.files[NAME]
    assert server.asked(NAME) == 3
    assert meter.bytes == ref.size
    assert leftovers(store) == []


def test_what_goes_on_faltering_is_one_clear_line(server: Loopback, store: Store) -> None:
    ref = serve(server)
    server.script(NAME, *[Fault(status=503)] * 9)
    error = refuse(store, ref, NetworkError)
    assert (
        error.what
        == f"{NAME} could not be downloaded in 4 attempts: the server answered 503 Service Unavailable"
    )
    assert error.where == ref.url
    assert server.asked(NAME) == 4


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(reset_after=1000), "the connection broke (Connection reset by peer)"),
        (Fault(end_after=1000), "the body ended too early"),
        (Fault(end_after=1000, length=False), "the body ended after 1,000 of 300,"),
        (Fault(wait=0.5), "no answer within 0.2 seconds"),
    ],
)
def test_the_line_says_what_happened(
    server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch, fault: Fault, words: str
) -> None:
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "0.2")
    monkeypatch.setenv("UV_HTTP_RETRIES", "1")
    server.script(NAME, *[fault] * 2)
    error = refuse(store, serve(server), NetworkError)
    assert words in error.what
    assert "in 2 attempts" in error.what


def test_a_server_that_is_not_there_is_said_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with Loopback() as server:
        ref = serve(server)
    assert "there is no connection (Connection refused)" in refuse(store, ref, NetworkError).what
    unknown = Ref(NAME, ref.sha256, url="http://host.invalid/" + NAME)
    assert "the host's name is not known" in refuse(store, unknown, NetworkError).what


def test_retry_after_is_waited_for(server: Loopback, store: Store) -> None:
    server.script(NAME, Fault(status=429, headers={"Retry-After": "1"}))
    fetch([serve(server)], store)
    first, second = (request.time for request in server.requests)
    assert second - first >= 1.0


@pytest.mark.parametrize("value", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_retry_after_of_an_hour_is_an_error_at_once(server: Loopback, store: Store, value: str) -> None:
    server.script(NAME, Fault(status=429, headers={"Retry-After": value}))
    assert "asks to wait for" in refuse(store, serve(server), NetworkError).what
    assert server.asked(NAME) == 1


@pytest.mark.parametrize("header", ["soon", "Wed, 21 Oct 2015 07:28:00 GMT", "-5"])
def test_an_odd_retry_after_is_no_reason_to_fail(server: Loopback, store: Store, header: str) -> None:
    server.script(NAME, Fault(status=503, headers={"Retry-After": header}))
    fetch([serve(server)], store)
    assert server.asked(NAME) == 2


@pytest.mark.parametrize("length", [299_000, 300_000, 301_000])
@pytest.mark.parametrize("size", [True, False])
def test_a_file_that_changed_under_its_name_fails_at_once(
    server: Loopback, store: Store, length: int, *, size: bool
) -> None:
    ref = serve(server, wheel(300_000), size=size)
    found = server.add(NAME, wheel(length, seed=1))
    error = refuse(store, ref, WheelError)
    assert server.asked(NAME) == 1
    assert error.where == f"{NAME} from {ref.url}"
    assert ref.sha256 in error.what
    assert found in error.what or f"it is longer than {ref.size:,} bytes" in error.what
    assert "layerkit lock" in str(error)


def test_a_body_without_end_is_not_taken_to_the_end(server: Loopback, store: Store) -> None:
    ref = serve(server, wheel(1000))
    server.add(NAME, wheel(5_000_000, seed=1))
    server.script(NAME, Fault(drip=(50_000, 0.1)))
    meter, begun = Meter(), time.monotonic()
    with pytest.raises(WheelError, match="longer than"):
        fetch([ref], store, progress=meter)
    assert time.monotonic() - begun < 5
    assert meter.bytes == 0


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Sign in</title>", b"\n <HTML><body>"])
def test_a_web_page_instead_of_a_wheel_is_said_so(server: Loopback, store: Store, page: bytes) -> None:
    ref = serve(server)
    server.script(NAME, Fault(body=page, headers={"Content-Type": "text/html"}))
    assert "a web page came instead of the wheel" in refuse(store, ref, NetworkError).what
    assert server.asked(NAME) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_gone_points_to_the_lock(server: Loopback, store: Store, status: int) -> None:
    ref = serve(server)
    server.script(NAME, Fault(status=status))
    error = refuse(store, ref, NetworkError)
    assert "is not there any more" in error.what
    assert "layerkit lock" in str(error)


def test_another_refusal_is_final(server: Loopback, store: Store) -> None:
    ref = serve(server)
    server.script(NAME, Fault(status=451))
    assert "the server answered 451" in refuse(store, ref, NetworkError).what
    assert server.asked(NAME) == 1


@pytest.mark.parametrize("digest", ["", "ab" * 31, "AB" * 32, "../" + "a" * 61])
def test_a_lock_without_a_sha256_is_refused(store: Store, digest: str) -> None:
    with pytest.raises(WheelError, match="no sha256"):
        fetch([Ref(NAME, digest, url="http://127.0.0.1:9/x")], store)


@pytest.mark.parametrize("url", [None, "ftp://127.0.0.1/demo.whl", "http://[", "http://127.0.0.1:port/x"])
def test_an_address_that_cannot_be_asked_is_an_error_of_ours(store: Store, url: str | None) -> None:
    with pytest.raises(LayerkitError):
        fetch([Ref(NAME, "ab" * 32, url=url)], store)


def test_the_first_failure_ends_the_other_downloads(server: Loopback, store: Store) -> None:
    slow = [serve(server, wheel(400_000, seed), f"slow{seed}-1-py3-none-any.whl") for seed in range(4)]
    for ref in slow:
        server.script(ref.filename, Fault(drip=(1000, 0.05)))
    server.script(NAME, Fault(wait=0.3, status=451))
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="451"):
        fetch([*slow, serve(server)], store)
    assert time.monotonic() - begun < 3
    assert leftovers(store) == []
    assert store.size() == {}


def test_offline_names_what_is_missing(
    server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [serve(server, wheel(100, seed), f"demo{seed:02}-1-py3-none-any.whl") for seed in range(13)]
    fetch(refs[:1], store)
    fetch(refs[:1], store, offline=True)
    with pytest.raises(NetworkError, match=r"12 wheels are not in the store.*demo01-1.*and 2 more"):
        fetch(refs, store, offline=True)
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(NetworkError, match="a wheel is not in the store"):
        fetch(refs[1:2], store)
    assert len(server.requests) == 1


def test_a_damaged_entry_is_downloaded_anew(server: Loopback, store: Store) -> None:
    ref = serve(server)
    fetch([ref], store)
    store.path("wheels", ref.sha256, ".whl").write_bytes(b"half")
    fetch([ref], store)
    assert content(store, ref) == server.files[NAME]


@pytest.mark.parametrize("form", ["path", "file"])
def test_a_local_wheel_is_copied_in(store: Store, tmp_path: Path, form: str) -> None:
    file = tmp_path / "a b%20c.whl"
    file.write_bytes(wheel())
    digest = hashlib.sha256(wheel()).hexdigest()
    ref = Ref(NAME, digest, path=str(file)) if form == "path" else Ref(NAME, digest, url=file.as_uri())
    fetch([ref], store, offline=True)
    file.write_bytes(b"changed later")
    assert content(store, ref) == wheel()


def test_a_local_wheel_that_changed_or_went_is_refused(store: Store, tmp_path: Path) -> None:
    ref = Ref(NAME, "ab" * 32, path=str(tmp_path / NAME))
    assert "No such file" in refuse(store, ref, WheelError).what
    (tmp_path / NAME).write_bytes(b"other")
    assert "not the file that was locked" in refuse(store, ref, WheelError).what


def by_variable(name: str) -> Callable[[Path, pytest.MonkeyPatch, Loopback], None]:
    def arrange(_: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
        monkeypatch.setenv(name, server.with_auth(server.simple))

    return arrange


def by_named_variable(_: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    monkeypatch.setenv("UV_INDEX", f"other=https://a:b@other.invalid/ my-own.index={server.simple}")
    monkeypatch.setenv("UV_INDEX_MY_OWN_INDEX_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_MY_OWN_INDEX_PASSWORD", SECRET)


def by_project(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    text = f'[[tool.uv.index]]\nname = "Own"\nurl = "{server.simple}"\n'
    (folder / "pyproject.toml").write_text(text)
    monkeypatch.setenv("UV_INDEX_OWN_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_OWN_PASSWORD", SECRET)


def by_project_uv_toml(folder: Path, _: pytest.MonkeyPatch, server: Loopback) -> None:
    (folder / "pyproject.toml").write_text("[tool.uv]\nindex = [{ url = 'https://passed.over/' }]\n")
    (folder / "uv.toml").write_text(f'extra-index-url = ["{server.with_auth(server.simple)}"]\n')


def by_user_file(folder: Path, _: pytest.MonkeyPatch, server: Loopback) -> None:
    (folder.parent / "home/.config/uv").mkdir(parents=True)
    text = f'[pip]\nindex-url = "{server.with_auth(server.simple)}"\n'
    (folder.parent / "home/.config/uv/uv.toml").write_text(text)


def by_netrc(folder: Path, _: pytest.MonkeyPatch, __: Loopback) -> None:
    netrc = folder.parent / "home/.netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)


def by_netrc_named(folder: Path, monkeypatch: pytest.MonkeyPatch, _: Loopback) -> None:
    (folder / "my netrc").write_text(f"default login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(folder / "my netrc"))


def by_uv_login(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    from uv import find_uv_bin

    monkeypatch.setenv("UV_CREDENTIALS_DIR", str(folder / "kept"))
    login = [find_uv_bin(), "auth", "login", server.url, "--username", "me", "--password", "-"]
    kept = subprocess.run(login, input=SECRET.encode(), capture_output=True, check=False)
    if kept.returncode:  # uv takes https only, for hosts other than the loopback's
        text = f'[[credential]]\nservice = "{server.url}/"\nusername = "me"\nscheme = "basic"\n'
        (folder / "kept").mkdir(exist_ok=True)
        (folder / "kept/credentials.toml").write_text(f'{text}password = "{SECRET}"\n')


def by_keyring(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    program = folder / "bin/keyring"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/asked\n[ "$2" = {server.simple} ] && echo "{SECRET}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.simple.replace("://", "://me@"))


WAYS = {
    **{
        name: by_variable(name)
        for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX")
    },
    "UV_FIND_LINKS": by_variable("UV_FIND_LINKS"),
    "UV_INDEX_NAME_USERNAME": by_named_variable,
    "pyproject.toml": by_project,
    "uv.toml": by_project_uv_toml,
    "the user's uv.toml": by_user_file,
    "netrc": by_netrc,
    "NETRC": by_netrc_named,
    "uv auth login": by_uv_login,
    "keyring": by_keyring,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.mark.parametrize("arrange", WAYS.values(), ids=WAYS)
def test_credentials_are_found_where_uv_finds_them(
    arrange: Callable[[Path, pytest.MonkeyPatch, Loopback], None],
    store: Store,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Loopback(auth=("me", SECRET)) as server:
        refs = [serve(server, wheel(1000, seed), f"demo{seed}-1-py3-none-any.whl") for seed in range(3)]
        refuse(store, refs[0], NetworkError)
        arrange(folder, monkeypatch, server)
        credentials = Credentials.load(folder)
        fetch(refs, store, credentials=credentials)
        if (folder / "asked").exists():
            assert (folder / "asked").read_text() == f"get {server.simple} me\n"
        known = (credentials, credentials.settings, list(credentials.candidates(server.simple)))
        assert "s3cr3t" not in repr(known) + pretty_repr(known)
        before = len(server.requests)
        fetch([serve(server, wheel(1000, 9), "demo9-1-py3-none-any.whl")], store, credentials=credentials)
        assert len(server.requests) == before + 1  # what was taken once is sent at once


def test_credentials_in_an_address_are_used_and_not_sent_in_it(store: Store) -> None:
    with Loopback(auth=("me", SECRET)) as server:
        ref = serve(server)
        fetch([Ref(ref.filename, ref.sha256, url=server.with_auth(ref.url or ""))], store)
        assert "s3cr3t" not in server.requests[0].target


def test_the_arguments_and_addresses_of_a_project_give_credentials(store: Store) -> None:
    with Loopback(auth=("me", SECRET)) as server:
        one, two = (
            serve(server, wheel(10, 1), "a-1-py3-none-any.whl"),
            serve(server, wheel(10, 2), "b-1-py3-none-any.whl"),
        )
        index = server.with_auth(server.simple)
        fetch([one], store, credentials=Credentials.load(arguments=["--extra-index-url", index]))
        fetch([two], store, credentials=Credentials.load(addresses=[server.with_auth(two.url or "")]))


def test_a_refusal_says_how_to_give_credentials(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(auth=("me", "right")) as server:
        ref = serve(server)
        error = refuse(store, ref, NetworkError)
        assert error.what.endswith("the server wants a user and a password (401)")
        assert "UV_INDEX_<NAME>_USERNAME" in str(error)
        assert "uv auth login 127.0.0.1" in str(error)
        server.auth = ("me", "s3cr3t")
        monkeypatch.setenv("UV_INDEX_URL", server.with_auth(server.simple).replace("s3cr3t", "s3cr3t-old"))
        error = refuse(store, ref, NetworkError)
        assert "refused the user and password from UV_INDEX_URL (401)" in error.what


def test_credentials_do_not_follow_a_redirect_to_another_host(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback(auth=("me", SECRET)) as index, Loopback() as files:
        ref = serve(files)
        index.add(NAME, b"")
        redirect = {"Location": f"{ref.url}?X-Signature=s3cr3t"}
        index.script("demo.whl", Fault(status=302, headers=redirect, body=b""))
        index.script("loop.whl", *[Fault(status=302, headers={"Location": "/files/loop.whl"}, body=b"")] * 20)
        monkeypatch.setenv("UV_INDEX_URL", index.with_auth(index.simple))
        fetch([Ref(NAME, ref.sha256, url=index.address("demo.whl"))], store)
        assert "authorization" in index.requests[-1].headers
        assert "authorization" not in files.requests[-1].headers
        loop = Ref("loop.whl", "ab" * 32, url=index.address("loop.whl"))
        assert "circle" in refuse(store, loop, NetworkError).what


def test_two_feeds_of_one_host_have_each_their_own_credentials(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback(auth=("me", SECRET)) as server:
        right = server.with_auth(f"{server.url}/files/simple/")
        monkeypatch.setenv("UV_EXTRA_INDEX_URL", f"{server.url.replace('//', '//a:b@')}/other/simple {right}")
        fetch([serve(server)], store)
        assert len(server.requests) == 1


def test_an_index_that_never_takes_credentials_gets_none(store: Store, folder: Path) -> None:
    with Loopback() as server:
        url = server.simple.replace("//", "//me:s3cr3t@")
        (folder / "uv.toml").write_text(f'[[index]]\nurl = "{url}"\nauthenticate = "never"\n')
        fetch([serve(server)], store, credentials=Credentials.load(folder))
        assert "authorization" not in server.requests[0].headers


def test_a_proxy_is_used_and_its_password_goes_to_the_proxy_only(
    server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(server)
    far = Ref(NAME, ref.sha256, url=f"http://far.invalid/files/{NAME}")
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//me:s3cr3t@"))
    fetch([far], store)
    assert server.requests[0].target == far.url
    assert server.requests[0].headers["proxy-authorization"].startswith("Basic ")
    store.evict("wheels", ref.sha256, ".whl")
    server.script(NAME, Fault(status=407))
    assert "HTTP_PROXY" in str(refuse(store, far, NetworkError))
    monkeypatch.setenv("HTTP_PROXY", "http://me:s3cr3t@127.0.0.1:9")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    assert "the proxy could not be used" in refuse(store, far, NetworkError).what
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    fetch([ref], store)


def start(store: Store, refs: list[Ref]) -> subprocess.Popen[bytes]:
    """Fetch in a process of its own, which ends with the exit code of its error, 130 when interrupted."""
    program = f"""
        import sys
        from dataclasses import make_dataclass
        from pathlib import Path
        from layerkit.errors import LayerkitError
        from layerkit.fetch import fetch
        from layerkit.store import Store
        Ref = make_dataclass("Ref", ["filename", "sha256", "size", "url", "path"])
        refs = [Ref(*fields) for fields in {[astuple(ref) for ref in refs]!r}]
        try:
            fetch(refs, Store(Path({str(store.root)!r})))
        except KeyboardInterrupt:
            sys.exit(130)
        except LayerkitError as error:
            sys.exit(error.exit_code)
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.PIPE)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_many_processes_one_downloads(server: Loopback, store: Store) -> None:
    refs = [serve(server, wheel(200_000, seed), f"demo{seed}-1-py3-none-any.whl") for seed in range(3)]
    for ref in refs:
        server.script(ref.filename, Fault(drip=(20_000, 0.05)))
    processes = [start(store, refs) for _ in range(5)]
    assert [process.communicate()[1] for process in processes] == [b""] * 5
    assert [process.returncode for process in processes] == [0] * 5
    assert [server.asked(ref.filename) for ref in refs] == [1] * 3


@pytest.mark.parametrize("fault", [Fault(drip=(1000, 0.05)), Fault(drip=(100_000, 60.0)), Fault(wait=60.0)])
def test_an_interrupt_ends_everything_promptly(server: Loopback, store: Store, fault: Fault) -> None:
    refs = [serve(server, wheel(200_000, seed), f"demo{seed}-1-py3-none-any.whl") for seed in range(4)]
    for ref in refs:
        server.script(ref.filename, fault)
    process = start(store, refs)
    wait_until(lambda: len(server.requests) == 4 and (fault.wait or len(leftovers(store)) == 4))
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b""
    assert process.returncode == 130
    assert time.monotonic() - begun < 3
    assert leftovers(store) == []
    assert store.size() == {}


def test_a_killed_download_is_swept_and_done_again(server: Loopback, store: Store) -> None:
    ref = serve(server)
    server.script(NAME, Fault(drip=(50_000, 0.5)))
    process = start(store, [ref])
    wait_until(lambda: leftovers(store))
    process.kill()
    process.communicate()
    assert len(leftovers(store)) == 1
    fetch([ref], store)
    assert content(store, ref) == server.files[NAME]
    assert leftovers(store) == []


def test_a_full_disk_ends_the_run_with_one_error(server: Loopback, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("mounting a tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        store = Store(disk / "store")
        assert "no room is left" in refuse(store, serve(server, wheel(3_000_000)), StorageError).what
        small = serve(server, wheel(1000), "small-1-py3-none-any.whl")
        fetch([small], store)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def secure_server(certificate: Path) -> Iterator[Loopback]:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Loopback(tls=context) as server:
        yield server


def test_an_unknown_certificate_is_refused_at_once(secure_server: Loopback, store: Store) -> None:
    error = refuse(store, serve(secure_server), NetworkError)
    assert error.what == "the server's certificate is not trusted"
    assert "SSL_CERT_FILE" in str(error)
    assert secure_server.requests == []


@pytest.mark.parametrize("way", ["SSL_CERT_FILE", "SSL_CERT_DIR", "UV_INSECURE_HOST"])
def test_certificates_are_those_that_the_environment_names(
    secure_server: Loopback, store: Store, certificate: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    values = {
        "SSL_CERT_FILE": str(certificate),
        "SSL_CERT_DIR": str(certificate.parent),
        "UV_INSECURE_HOST": secure_server.host,
    }
    monkeypatch.setenv(way, values[way])
    fetch([serve(secure_server)], store)
    assert len(secure_server.requests) == 1


def test_a_certificate_file_without_certificates_is_an_error(
    secure_server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    error = refuse(store, serve(secure_server), NetworkError)
    assert error.where == str(tmp_path / "nothing.pem")


def test_interrupting_a_tls_download_wakes_its_reader(
    secure_server: Loopback, store: Store, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure_server.script(NAME, Fault(drip=(100_000, 60.0)))
    process = start(store, [serve(secure_server)])
    wait_until(lambda: leftovers(store))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=5)[1] == b""
    assert (process.returncode, leftovers(store)) == (130, [])


def test_when_nothing_is_missing_nothing_heavy_is_loaded(server: Loopback, store: Store) -> None:
    ref = serve(server)
    fetch([ref], store)
    program = f"""
        import sys
        from pathlib import Path
        from types import SimpleNamespace
        from layerkit.fetch import fetch
        from layerkit.store import Store
        ref = SimpleNamespace(filename="x", sha256={ref.sha256!r}, size=None, url=None, path=None)
        fetch([ref], Store(Path({str(store.root)!r})))
        heavy = {{"urllib3", "ssl", "rich", "tomllib", "layerkit.fetch.credentials"}}
        print(sorted(heavy & set(sys.modules)))
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=True)
    assert said.stdout == b"[]\n"
