"""HTTP as the user's environment wants it: proxies, certificates, timeouts; and its failures in words."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from layerkit import __version__
from layerkit.errors import NetworkError
from layerkit.fetch.credentials import Realm
from layerkit.redaction import redact, strip_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from layerkit.fetch.uv_settings import Settings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_AGENT = f"layerkit/{__version__}"


class Transport:
    """Connections that are kept and shared by the threads of one run."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], *, threads: int) -> None:
        """Keep how to connect; nothing is opened yet."""
        self._settings = settings
        self._environment = environment
        self._threads = threads
        self._pools: dict[tuple[str | None, bool | None], PoolManager] = {}
        self._lock = threading.Lock()

    def get(self, url: str, authorization: str | None, span: str | None = None) -> BaseHTTPResponse:
        """Ask for an address and follow redirects; the body is left to be read.

        `span` is a range such as `bytes=0-99`, which the server may give alone.
        The Authorization header goes to the first host only, or to its https side. Raises what
        urllib3 raises, and NetworkError for settings that cannot work.
        """
        for _ in range(_MOST_REDIRECTS):
            headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity", "Accept": "*/*"}
            if authorization is not None:
                headers["Authorization"] = authorization
            if span is not None:
                headers["Range"] = span
            response = self._pool(url).request(
                "GET", url, headers=headers, redirect=False, retries=False, preload_content=False
            )
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response
            response.drain_conn()
            response.release_conn()
            try:
                following = strip_credentials(urljoin(url, target))
            except ValueError:
                raise not_an_address(target) from None
            authorization = authorization if _may_follow(url, following) else None
            url = following
        raise NetworkError("the server redirects in a circle", where=redact(url))

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()

    def _pool(self, url: str) -> PoolManager:
        """Return the pool for an address: by its proxy, and by whether its certificate is checked."""
        realm = Realm.of(url)
        if realm is None:
            raise not_an_address(url)
        insecure = {realm.host, f"{realm.host}:{realm.port}"} & self._settings.insecure_hosts
        proxy = proxy_for(url, self._environment)
        secure = None if realm.scheme == "http" else not insecure
        with self._lock:
            if (proxy, secure) not in self._pools:
                self._pools[proxy, secure] = self._new_pool(proxy, secure=secure)
            return self._pools[proxy, secure]

    def _new_pool(self, proxy: str | None, *, secure: bool | None) -> PoolManager:
        """Make a pool; `secure` is None for plain http, False where any certificate will do."""
        import urllib3

        timeout = urllib3.Timeout(connect=self._settings.connect_timeout, read=self._settings.timeout)
        context = self._context(secure=secure is not False) if secure is not None or proxy else None
        if secure is False:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if proxy is None:
            return urllib3.PoolManager(maxsize=self._threads, timeout=timeout, ssl_context=context)
        if urlsplit(proxy).scheme not in ("http", "https"):
            raise NetworkError("only http and https proxies can be used", where=redact(proxy))
        from urllib3.util import make_headers, parse_url

        return urllib3.ProxyManager(
            strip_credentials(proxy),
            proxy_headers=make_headers(proxy_basic_auth=parse_url(proxy).auth),
            proxy_ssl_context=self._context(secure=True) if proxy.startswith("https:") else None,
            maxsize=self._threads,
            timeout=timeout,
            ssl_context=context,
        )

    def _context(self, *, secure: bool) -> ssl.SSLContext:
        context = tls_context(self._environment, system_only=self._settings.system_certs, needed=secure)
        if not secure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def not_an_address(text: str) -> NetworkError:
    """Return the error for an address that no request can be made to."""
    return NetworkError("this is no http or https address", where=redact(text))


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment sets for an address, in small letters or capitals."""
    parts = urlsplit(url)
    if _bypassed(parts.hostname or "", _variable(environment, "no_proxy") or ""):
        return None
    proxy = _variable(environment, f"{parts.scheme}_proxy") or _variable(environment, "all_proxy")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(name) or environment.get(name.upper()) or None


def _bypassed(host: str, exceptions: str) -> bool:
    """Say whether NO_PROXY names a host: itself, a domain above it, its address or network, or `*`."""
    return any(_matches(host, entry.strip().lower()) for entry in exceptions.split(",") if entry.strip())


def _matches(host: str, entry: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        domain = entry.removeprefix("*").removeprefix(".")
        return entry == "*" or host == domain or host.endswith(f".{domain}")


def tls_context(environment: Mapping[str, str], *, system_only: bool, needed: bool) -> ssl.SSLContext:
    """Return the certificates to trust: those of SSL_CERT_FILE and SSL_CERT_DIR, else the system's.

    Where the system has none, those of certifi are taken if it is installed, unless `system_only`.
    Without any there is a NetworkError, if they are `needed`.
    """
    named = [environment.get("SSL_CERT_FILE"), *environment.get("SSL_CERT_DIR", "").split(":")]
    chosen = [Path(path) for path in named if path]
    if chosen:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found = sum(_trust(context, path) for path in chosen)
    else:
        context = ssl.create_default_context()
        found = _system_certificates(context) or (0 if system_only else _trust_certifi(context))
    if needed and not found:
        raise NetworkError(
            "there are no certificates to check an https server by",
            where=":".join(map(str, chosen)) or None,
            fix="Install the system's ca-certificates, or let SSL_CERT_FILE name a PEM file of them",
        )
    if client := environment.get("SSL_CLIENT_CERT"):
        try:
            context.load_cert_chain(client)
        except OSError as error:
            raise NetworkError(f"SSL_CLIENT_CERT cannot be used: {error}", where=client) from None
    return context


def _trust(context: ssl.SSLContext, path: Path) -> bool:
    """Trust the certificates in a PEM file, or in all PEM files of a folder; say whether there were any."""
    files = [path] if path.is_file() else []
    if path.is_dir():
        # OpenSSL looks into a folder by hashed names only; uv reads every file.
        files = list({file.resolve() for file in path.iterdir() if file.is_file()})
    found = False
    for file in files:
        try:
            context.load_verify_locations(cafile=file)
        except OSError:
            continue
        found = True
    return found


def _system_certificates(context: ssl.SSLContext) -> bool:
    """Say whether the system has certificates: loaded ones, or a folder that OpenSSL looks into later."""
    folder = ssl.get_default_verify_paths().capath
    return bool(context.cert_store_stats()["x509_ca"]) or (folder is not None and any(Path(folder).iterdir()))


def _trust_certifi(context: ssl.SSLContext) -> bool:
    from importlib.util import find_spec

    spec = find_spec("certifi")
    return (
        spec is not None
        and spec.origin is not None
        and _trust(context, Path(spec.origin).parent / "cacert.pem")
    )


def _may_follow(source: str, target: str) -> bool:
    """Say whether credentials may go along: to the same realm, or from http to https of one host."""
    old, new = Realm.of(source), Realm.of(target)
    if old is None or new is None:
        return False
    return old == new or (old.host == new.host and (old.scheme, new.scheme) == ("http", "https"))


def reason(error: Exception, timeout: float) -> str:
    """Say in a few words why a request broke off, without anything the address may hold."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.ProxyError):
        return f"the proxy could not be used: {reason(error.original_error, timeout)}"
    if certificate(error):
        return "the server's certificate is not trusted"
    known: tuple[tuple[type[Exception], str], ...] = (
        (exceptions.NameResolutionError, "the host's name is not known"),
        (exceptions.NewConnectionError, "there is no connection"),
        (exceptions.TimeoutError, f"no answer within {timeout:g} seconds"),
        (exceptions.IncompleteRead, "the body ended too early"),
        (exceptions.SSLError, "the TLS connection failed"),
    )
    chain = list(_chain(error))
    found = (words for kind, words in known for link in chain if isinstance(link, kind))
    words = next(found, "the connection broke")
    system = next((link.strerror for link in chain if isinstance(link, OSError) and link.errno), None)
    return f"{words} ({system})" if system else words


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those beneath it, which urllib3 keeps among its arguments or as causes."""
    while error is not None:
        yield error
        inner = [argument for argument in error.args if isinstance(argument, BaseException)]
        error = inner[0] if inner else error.__cause__


def certificate(error: Exception) -> bool:
    """Say whether an error is about a certificate, which no retry will mend."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
