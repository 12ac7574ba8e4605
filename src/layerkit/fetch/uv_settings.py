"""What uv's environment variables and configuration files say about indexes and the network.

uv resolves and layerkit downloads; both must reach the same indexes by the same settings. Names and
precedence are those of uv's documentation (0.13): the command line, then the environment, then the
nearest uv.toml or [tool.uv] above the project, then the user's and the system's uv.toml. A file that
cannot be read is passed over here, because uv itself complains about it before anything is fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from layerkit.redaction import strip_credentials
from layerkit.toml import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.+)")
_ONE = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_SEVERAL = ("UV_INDEX", "UV_EXTRA_INDEX_URL")
_OPTIONS = frozenset(
    {"--index", "--default-index", "--index-url", "-i", "--extra-index-url", "--find-links", "-f"}
)
_INSECURE_OPTIONS = frozenset({"--allow-insecure-host", "--trusted-host"})


class Index(Struct, frozen=True, kw_only=True):
    """An address that uv may take packages from, without user and password in it.

    `source` says where it stands, for error messages; `never` that no credentials may be sent.
    """

    url: str
    user: str | None = None
    password: str | None = None
    source: str
    never: bool = False

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return what may be shown."""
        return [("url", self.url), ("source", self.source), ("never", self.never)]

    def __repr__(self) -> str:
        """Return what may be shown."""
        return f"Index(url={self.url!r}, source={self.source!r}, never={self.never!r})"


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of uv that a download must respect. Times are seconds."""

    indexes: tuple[Index, ...] = ()
    keyring: bool = False
    insecure_hosts: frozenset[str] = frozenset()
    system_certs: bool = False
    offline: bool = False
    timeout: float = 30.0
    connect_timeout: float = 10.0
    retries: int = 3
    downloads: int | None = None


def read(folder: Path | None, arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return what holds for a project in `folder` whose files give uv these `arguments`."""
    found = list(documents(folder, environment))
    files = [document for _, document in found]
    options = list(_options(arguments))
    hosts = [value for option, value in options if option in _INSECURE_OPTIONS]
    hosts += environment.get("UV_INSECURE_HOST", "").split()
    hosts += [host for document in files for host in _texts(document.get("allow-insecure-host"))]
    timeout = _timeout(environment)
    indexes = [*_from_options(options), *_from_environment(environment)]
    for source, document in found:
        indexes += _from_document(document, source)
    return Settings(
        indexes=tuple(_with_named_credentials(index, name, environment) for name, index in indexes),
        keyring=_choice(environment.get("UV_KEYRING_PROVIDER"), files, "keyring-provider") == "subprocess",
        insecure_hosts=frozenset(host.lower() for host in hosts),
        system_certs=_flag(environment, ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"), files, "system-certs")
        or _flag(environment, (), files, "native-tls"),
        offline=_flag(environment, ("UV_OFFLINE",), files, "offline"),
        timeout=timeout,
        connect_timeout=min(timeout, _number(environment.get("UV_HTTP_CONNECT_TIMEOUT")) or 10.0),
        retries=_whole(environment.get("UV_HTTP_RETRIES"), 3),
        downloads=_whole(
            _choice(environment.get("UV_CONCURRENT_DOWNLOADS"), files, "concurrent-downloads"), 0
        )
        or None,
    )


def index(url: str, source: str, *, never: bool = False) -> Index:
    """Return an index for an address that may have user and password in it."""
    user, password = user_of(url)
    return Index(url=strip_credentials(url), user=user, password=password, source=source, never=never)


def user_of(url: str) -> tuple[str | None, str | None]:
    """Return the user and the password in an address, decoded; None where there is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, None
    user = unquote(parts.username) if parts.username is not None else None
    return user, unquote(parts.password) if parts.password is not None else None


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give (option, value) of a command line, for `--option value` and `--option=value`."""
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if equals and option.startswith("--"):
            yield option, value
        elif place + 1 < len(arguments):
            yield argument, arguments[place + 1]


def _from_options(options: Iterable[tuple[str, str]]) -> Iterator[tuple[str | None, Index]]:
    for option, value in options:
        if option in _OPTIONS:
            yield _named(value, option)


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str | None, Index]]:
    for variable in _ONE:
        if value := environment.get(variable, "").strip():
            yield _named(value, variable)
    for variable in _SEVERAL:
        for value in environment.get(variable, "").split():
            yield _named(value, variable)
    for value in environment.get("UV_FIND_LINKS", "").split(","):
        if value.strip():
            yield None, index(value.strip(), "UV_FIND_LINKS")


def _from_document(document: Mapping[str, Any], source: str) -> Iterator[tuple[str | None, Index]]:
    for table in _list(document.get("index")):
        if isinstance(table, dict) and isinstance(table.get("url"), str):
            name = table.get("name")
            never = table.get("authenticate") == "never"
            yield name if isinstance(name, str) else None, index(table["url"], source, never=never)
    pip = document.get("pip")
    for part in (document, pip if isinstance(pip, dict) else {}):
        for key in ("index-url", "extra-index-url", "find-links"):
            for value in _texts(part.get(key)):
                yield None, index(value, source)


def _named(text: str, source: str) -> tuple[str | None, Index]:
    """Read `URL` or `NAME=URL`, the form of uv's --index and UV_INDEX."""
    named = _NAMED.fullmatch(text)
    return (named[1], index(named[2], source)) if named else (None, index(text, source))


def _with_named_credentials(index: Index, name: str | None, environment: Mapping[str, str]) -> Index:
    """Return the index with UV_INDEX_<NAME>_USERNAME and _PASSWORD, which come before those in its URL."""
    if name is None:
        return index
    prefix = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    user, password = environment.get(f"{prefix}_USERNAME"), environment.get(f"{prefix}_PASSWORD")
    if user is None and password is None:
        return index
    source = f"{prefix}_USERNAME and _PASSWORD"
    return Index(url=index.url, user=user or "", password=password, source=source, never=index.never)


def documents(folder: Path | None, environment: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give (name for messages, settings) of each configuration file that uv would read."""
    if named := environment.get("UV_CONFIG_FILE"):
        paths = [Path(named)]
    elif _true(environment.get("UV_NO_CONFIG")):
        return
    else:
        if folder is not None:
            yield from _nearest(folder)
        paths = list(_user_and_system(environment))
    for path in paths:
        if (document := load(path)) is not None:
            yield str(path), document


def _nearest(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the settings of the project, from the first folder upwards that has any."""
    for place in (folder, *folder.parents):
        if (document := load(place / "uv.toml")) is not None:
            yield str(place / "uv.toml"), document
            return
        project = (load(place / "pyproject.toml") or {}).get("tool", {})
        if isinstance(project, dict) and isinstance(project.get("uv"), dict):
            yield str(place / "pyproject.toml"), project["uv"]
            return


def _user_and_system(environment: Mapping[str, str]) -> Iterator[Path]:
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or "~").expanduser() / ".config"
    yield Path(home, "uv", "uv.toml")
    folders = [folder for folder in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if folder]
    system = [Path(folder, "uv", "uv.toml") for folder in folders] + [Path("/etc/uv/uv.toml")]
    yield from [path for path in system if path.is_file()][:1]


def load(path: Path) -> dict[str, Any] | None:
    """Return a TOML document, None where there is none that can be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _choice(text: str | None, files: Sequence[Mapping[str, Any]], key: str) -> Any:
    """Return the environment's value, else the first that a file gives."""
    return text or next((document[key] for document in files if key in document), None)


def _flag(
    environment: Mapping[str, str], variables: Sequence[str], files: Sequence[Mapping[str, Any]], key: str
) -> bool:
    said = next((environment[variable] for variable in variables if environment.get(variable)), None)
    return _true(said) if said is not None else _choice(None, files, key) is True


def _true(text: str | None) -> bool:
    return text is not None and text.strip().lower() in _TRUE


def _timeout(environment: Mapping[str, str]) -> float:
    names = ("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT", "HTTP_TIMEOUT")
    return next((value for name in names if (value := _number(environment.get(name)))), 30.0)


def _number(text: str | None) -> float | None:
    """Return a positive number of seconds, None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _whole(value: Any, default: int) -> int:
    if isinstance(value, str):
        return int(value) if value.isdecimal() else default
    return value if isinstance(value, int) and value >= 0 else default


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    """Return the texts of a value that may be one text or a list of them."""
    return [text for text in ([value] if isinstance(value, str) else _list(value)) if isinstance(text, str)]
