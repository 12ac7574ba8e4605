"""The container engine: found as the docker command finds it, and its failures in words.

`connect` goes where DOCKER_HOST, DOCKER_CONTEXT or the chosen docker context point: a socket, TCP with
TLS, or a machine behind ssh. The version of the API is the engine's own; the oldest that will do is
the one of Docker 20.10, which first took a platform for a container. Everything made on the engine
carries a label with its owner (owner.py), by which `sweep` finds what killed runs left behind.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.container import owner
from layerkit.errors import EngineError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from docker import APIClient

    from layerkit.container.tunnel import Tunnel
    from layerkit.target import Arch

OWNER = "layerkit.owner"
OLDEST_API = (1, 41)
_DEFAULT_SOCKET = "/var/run/docker.sock"
_PATIENCE = 120
_CONNECTIONS = 32
_ARCHITECTURES: dict[str, Arch] = {
    "amd64": "x86_64",
    "x86_64": "x86_64",
    "arm64": "arm64",
    "aarch64": "arm64",
}
_START_ONE = "start Docker, or let DOCKER_HOST or a docker context point to an engine"
_ABSENT = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_FULL = ("no space left on device", "disk quota exceeded", "not enough space")


class Engine(Struct, frozen=True, kw_only=True):
    """A connection to an engine. Threads may share it.

    `client` is the docker SDK's low-level client: every use of it belongs into `talking`, which puts
    failures into words. `where` says which engine it is, for messages; `arch` is what it runs without
    emulation, None for anything that Lambda does not have.
    """

    client: APIClient
    where: str
    version: str
    arch: Arch | None
    tunnel: Tunnel | None = None

    def labels(self, **more: str) -> dict[str, str]:
        """Return the labels for a thing of this process; the names in `more` are put behind `layerkit.`."""
        return {OWNER: owner.mark(), **{f"layerkit.{name}": text for name, text in more.items()}}

    @contextlib.contextmanager
    def talking(self, doing: str) -> Iterator[None]:
        """Turn what the SDK raises inside the block into an EngineError that says what was being done.

        Files of this machine have to be read and written outside of it, or with errors of their own.
        """
        from docker.errors import DockerException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (DockerException, HTTPError, OSError) as error:
            raise failure(error, doing, self.where) from error

    def sweep(self) -> int:
        """Remove what dead runs of this host left behind; return how many things that were.

        Containers go first, since they hold volumes and images. What another run is removing at
        this moment, or still uses, is passed over.
        """
        client = self.client
        with self.talking("looking for leftovers"):
            containers = client.containers(all=True, filters={"label": OWNER})
            volumes = client.volumes(filters={"label": OWNER})["Volumes"] or []
            images = client.images(filters={"label": OWNER}, all=True)
        removed = sum(
            self._remove(client.remove_container, one, "Id", v=True, force=True) for one in containers
        )
        removed += sum(self._remove(client.remove_volume, one, "Name") for one in volumes)
        return removed + sum(self._remove(client.remove_image, one, "Id", force=True) for one in images)

    def _remove(self, remove: Callable[..., object], thing: Mapping[str, Any], key: str, **how: bool) -> bool:
        """Remove one thing if its owner is gone; say whether it was removed."""
        from docker.errors import APIError

        if not owner.is_gone((thing.get("Labels") or {}).get(OWNER, "")):
            return False
        with self.talking("removing leftovers"):
            try:
                remove(thing[key], **how)
            except APIError:
                return False  # gone already, or in use
        return True

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        if self.tunnel is not None:
            self.tunnel.close()


def present(environment: Mapping[str, str] | None = None) -> bool:
    """Say whether there may be an engine, without importing the SDK or connecting to anything.

    True means that somebody named an engine, or that the usual socket is there.
    """
    environment = os.environ if environment is None else environment
    if host := environment.get("DOCKER_HOST", "").strip():
        return not host.startswith("unix://") or Path(host.removeprefix("unix://")).exists()
    return _context(environment) is not None or Path(_DEFAULT_SOCKET).exists()


def connect(environment: Mapping[str, str] | None = None) -> Engine:
    """Return a connection to the engine that the environment names.

    Raises EngineError: there is none, this user may not use it, or it is too old.
    """
    environment = os.environ if environment is None else environment
    where, arguments = _address(environment)
    tunnel = None
    if str(arguments["base_url"]).startswith("ssh://"):
        from layerkit.container.tunnel import Tunnel

        tunnel = Tunnel(arguments["base_url"])
        arguments = {"base_url": tunnel.address}
    try:
        return _connected(where, arguments, tunnel)
    except BaseException:
        if tunnel is not None:
            tunnel.close()
        raise


def _connected(where: str, arguments: Mapping[str, Any], tunnel: Tunnel | None) -> Engine:
    """Ask the engine for its version, and return a connection that speaks it."""
    from docker.errors import DockerException

    oldest = ".".join(map(str, OLDEST_API))
    try:
        with contextlib.closing(_client(arguments, oldest)) as client:
            told = client.version(api_version=False)
        version = str(told["ApiVersion"])
        if tuple(map(int, version.split("."))) < OLDEST_API:
            raise EngineError(
                f"the engine is too old: it is {told.get('Version')} with API {version}; {oldest} is needed",
                where=where,
                fix="update it to Docker 20.10 or newer, or let DOCKER_HOST point to another engine",
            )
        client = _client(arguments, version)
    except (DockerException, OSError, KeyError, TypeError, ValueError) as error:
        raise _unreachable(error, where, tunnel.said() if tunnel else "") from error
    arch = _ARCHITECTURES.get(told.get("Arch", ""))
    return Engine(client=client, where=where, version=version, arch=arch, tunnel=tunnel)


def _client(arguments: Mapping[str, Any], version: str) -> APIClient:
    """Return a client that speaks one version of the API; nothing is asked yet."""
    import docker

    client = docker.APIClient(
        **arguments,
        version=version,
        timeout=_PATIENCE,
        max_pool_size=_CONNECTIONS,
    )
    # Else REQUESTS_CA_BUNDLE, meant for the web, would take the place of the engine's own certificate.
    client.trust_env = not arguments.get("tls")
    return client


def failure(error: Exception, doing: str, where: str) -> EngineError:
    """Return the error for what went wrong between us and the engine while `doing` something."""
    said = _said(error)
    if is_full(said):
        return full(f"while {doing}: {said}", where)
    if getattr(error, "response", None) is not None:
        return EngineError(f"the engine failed while {doing}: {said}", where=where)
    return EngineError(
        f"the engine went away while {doing} ({said})",
        where=where,
        fix="start it again, and run the same command; what was finished is kept",
    )


def is_full(said: str) -> bool:
    """Say whether these are words for a disk that is full."""
    return any(sign in said.lower() for sign in _FULL)


def full(what: str, where: str) -> EngineError:
    """Return the error for an engine whose disk is full."""
    return EngineError(
        f"no room is left on the engine's disk {what}",
        where=where,
        fix="free some space there: `docker system df` shows what takes it, `docker system prune` frees it",
    )


def _said(error: BaseException) -> str:
    """Return the engine's own words, else the system's, on one line and without credentials."""
    explanation = getattr(error, "explanation", None)
    system = next((link.strerror for link in _chain(error) if isinstance(link, OSError) and link.errno), None)
    words = explanation or system or str(error) or type(error).__name__
    return redact(" ".join(str(words).split()))


def _unreachable(error: Exception, where: str, said: str) -> EngineError:
    """Return why there is no connection: no engine, no permission, or settings that cannot work.

    `said` is what ssh had to say, where that is the way.
    """
    numbers = {link.errno for link in _chain(error) if isinstance(link, OSError)}
    if numbers & set(_FORBIDDEN):
        fix = "add the user to the group `docker` and log in again, or use a rootless engine"
        return EngineError("this user may not use the engine's socket", where=where, fix=fix)
    if numbers & set(_ABSENT):
        return EngineError("no container engine answers", where=where, fix=_START_ONE)
    return EngineError(f"the engine cannot be reached: {said or _said(error)}", where=where, fix=_START_ONE)


def _address(environment: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return where the engine is, in words, and the arguments that connect the SDK to it."""
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    if environment.get("DOCKER_HOST", "").strip():
        host = redact(environment["DOCKER_HOST"])
        try:
            return host, {**kwargs_from_env(dict(environment))}
        except DockerException as error:
            raise EngineError(f"the settings of the engine cannot work: {error}", where=host) from error
    name = _context(environment)
    if name is None:
        return f"unix://{_DEFAULT_SOCKET}", {"base_url": f"unix://{_DEFAULT_SOCKET}"}
    from docker.context import ContextAPI

    context = ContextAPI.get_context(name)
    if context is None:
        raise EngineError(
            f"there is no docker context called {name!r}", fix="`docker context ls` shows which there are"
        )
    tls = {"tls": context.TLSConfig} if context.TLSConfig else {}
    return f"docker context {name} ({redact(str(context.Host))})", {"base_url": context.Host, **tls}


def _context(environment: Mapping[str, str]) -> str | None:
    """Return the docker context that was chosen, None for the default one."""
    name = environment.get("DOCKER_CONTEXT", "").strip()
    if not name:
        folder = (
            environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or "~").expanduser() / ".docker"
        )
        try:
            text = Path(folder, "config.json").read_text(encoding="utf-8")
            name = str(json.loads(text).get("currentContext") or "")
        except (OSError, ValueError, AttributeError):
            name = ""
    return None if name in ("", "default") else name


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those beneath it, which libraries keep among its arguments or as causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = [argument for argument in error.args if isinstance(argument, BaseException)]
        error = inner[0] if inner else error.__cause__ or error.__context__
