"""Resolution inside: uv runs in the runtime's image, and the image's own interpreter says what it is.

uv and not pip, for three reasons: an image's pip is as old as its runtime, and those of the older ones
can neither report a resolution nor write a lock; the same resolver makes the same choice as outside, so
a lock does not change with the engine; and uv only reads metadata, so no code of packages runs where the
credentials of an index are. The program is layerkit's own, or that of the same version for the image.

What the interpreter says is taken but for one thing: an image can have a newer glibc than the runtime
that it stands for, and wheels are chosen for the older of the two.

Indexes, credentials, certificates and proxies are the user's own. What may hold a password travels in the
environment of one program or lies in a file in memory; the container has no other use and is removed.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from layerkit.container.interpreter import ask
from layerkit.container.room import SECRETS, Furnishing
from layerkit.container.surroundings import lay_out
from layerkit.container.tarred import Entry
from layerkit.errors import WheelError
from layerkit.fetch.credentials import Credentials
from layerkit.lock import ImageRef
from layerkit.lock.pick import pick
from layerkit.lock.places import Errand, Here, Inside, Told, uv_binary
from layerkit.lock.sources import settings
from layerkit.lock.uv import Question, Uv
from layerkit.redaction import redact
from layerkit.target import target as make_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layerkit.container.images import Image
    from layerkit.container.room import Room, Rooms
    from layerkit.lock import WheelRef
    from layerkit.project import Project
    from layerkit.store import Store
    from layerkit.target import Target

_UV = "/layerkit-uv/uv"
# Settings of uv about this machine, which mean nothing or something else in a container.
_OURS = (
    "UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_CREDENTIALS_DIR", "UV_KEYRING_PROVIDER", "UV_LINK_MODE",
    "UV_NATIVE_TLS", "UV_NO_CONFIG", "UV_PROJECT", "UV_PYTHON", "UV_SYSTEM_CERTS", "UV_TOOL",
)  # fmt: skip
_OUR_KEYS = (
    "cache-dir", "keyring-provider", "link-mode", "native-tls", "python-downloads", "python-install-mirror",
    "python-preference", "system-certs",
)  # fmt: skip
_KEYRING = "the keyring"


def resolver(
    rooms: Rooms,
    image: Image,
    target: Target,
    project: Project,
    store: Store,
    fetch: Callable[[Sequence[WheelRef]], None],
    *,
    offline: bool,
) -> Inside:
    """Return how to resolve in an image: uv in a container of it, the target as its interpreter has it.

    Raises EngineError for an image whose interpreter is not the runtime's.
    """
    # The name keeps this container apart from those in which the code of packages runs.
    network = "none" if offline else project.containers.network
    room = rooms.room(image, Furnishing(network=network, environment=(("LAYERKIT_ROOM", "uv"),)))
    told = ask(room, target)
    on = replace(target, python=told.python, glibc=min(target.glibc, told.glibc))
    _bring_uv(room, target, store, project, fetch, offline=offline)
    notes = []
    if told.glibc != target.glibc:
        notes.append(
            f"the image {image.reference} has glibc {_dotted(told.glibc)} and {target.runtime}"
            f" {_dotted(target.glibc)}: wheels are chosen for {_dotted(on.glibc)}"
        )
    ref = ImageRef(
        reference=image.reference, digest=image.digest, python=told.python, glibc=_dotted(told.glibc)
    )
    return Inside(place=UvRoom(room, project, network), target=on, image=ref, notes=tuple(notes))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _bring_uv(
    room: Room,
    target: Target,
    store: Store,
    project: Project,
    fetch: Callable[[Sequence[WheelRef]], None],
    *,
    offline: bool,
) -> None:
    """Have uv's program in the room: the one that runs here where it runs there, else that of its wheel."""
    if sys.platform == "linux" and platform.machine() == target.machine:
        room.put("/", [Entry(name=_UV[1:], path=Path(uv_binary()), mode=0o755)])
        if room.captured([_UV, "--version"])[0] == 0:
            return
    # uv itself needs no Python; its wheel asks for one, and any that is new enough will do.
    on = make_target("python3.12", target.arch)
    question = Question(requirements=(f"uv=={version('uv')}",), arguments=project.index_arguments)
    (found,) = Uv(on, store, project.root, offline=offline).resolve(question)
    wheel = pick(found, on).wheel
    fetch([wheel])
    with tempfile.TemporaryDirectory(prefix="layerkit-") as folder:
        program = _program(store.path("wheels", wheel.sha256, ".whl"), wheel.filename, Path(folder))
        room.put("/", [Entry(name=_UV[1:], path=program, mode=0o755)])


def _program(wheel: Path, filename: str, folder: Path) -> Path:
    """Take uv's program out of its wheel."""
    from layerkit.archive import Archive

    path = folder / "uv"
    with Archive.open(wheel, name=filename) as archive, path.open("wb") as file:
        member = next((one for one in archive.members if one.name.endswith(".data/scripts/uv")), None)
        if member is None:
            raise WheelError("there is no program in it", where=filename)
        for chunk in archive.chunks(member):
            file.write(chunk)
    return path


class UvRoom:
    """uv in a container. Files have the same paths there as here."""

    def __init__(self, room: Room, project: Project, network: str) -> None:
        """Lay out what every call needs: certificates, credentials, settings, local folders of wheels."""
        self._room = room
        self._network = network
        self._there: set[Path] = set()
        direct = [root.text.partition(" @ ")[2] for root in project.requirements() if " @ " in root.text]
        found = Credentials.load(project.root, arguments=project.index_arguments, addresses=direct)
        self._lay(_local_places((one.url for one in found.settings.indexes), project.root))
        self._environment = {
            **{name: text for name, text in os.environ.items() if _belongs(name)},
            **_certified(room, system=found.settings.system_certs),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CACHE_DIR": "/layerkit-uv/cache",
            "UV_CREDENTIALS_DIR": SECRETS,
            "UV_CONFIG_FILE": room.secret("uv.toml", _settings(project.root)),
            "NETRC": room.secret("netrc", _netrc(found, direct)),
        }
        if (kept := _read(_credentials_file())) is not None:
            room.secret("credentials.toml", kept)
        if client := _read(Path(os.environ.get("SSL_CLIENT_CERT") or os.devnull)):
            self._environment["SSL_CLIENT_CERT"] = room.secret("client.pem", client)
        if (folders := os.environ.get("SSL_CERT_DIR")) and "SSL_CERT_FILE" not in self._environment:
            self._lay(map(Path, folders.split(os.pathsep)))
            self._environment["SSL_CERT_DIR"] = folders

    @property
    def advice(self) -> str:
        """Return what to do where uv reaches no index from the container."""
        if self._network == "none":
            return "uv has no cache in the image: lock once without --offline, or with --engine wheels"
        where = f"{Here.advice}, which runs in {self._room.image.reference}"
        if self._network == "host":
            return where
        return (
            f"{where}; an index on the engine's own machine takes network = 'host' in [tool.layerkit.docker]"
        )

    def run(self, errand: Errand) -> Told:
        """Run uv to its end."""
        self._lay(errand.needed)
        lines = [
            *self._share(errand.shared),
            f"mkdir -p {_quoted(errand.folder)}",
            f"cd {_quoted(errand.folder)}",
        ]
        # The arguments may hold passwords, and an engine shows the arguments of a program to whoever asks.
        script = "\n".join([*lines, f"exec {shlex.join([_UV, *errand.arguments])}"])
        path = self._room.secret("run", script)
        code, out, error = self._room.captured(
            ["/bin/sh", path], env={**self._environment, **errand.environment}
        )
        if code == 0 and errand.answer is not None:
            errand.answer.write_text(self._room.output(["cat", str(errand.answer)]), encoding="utf-8")
        return Told(code=code, out=out, error=error)

    def _lay(self, paths: Iterable[Path]) -> None:
        """Have local files and folders under their own paths, each once."""
        new = [path for path in dict.fromkeys(paths) if path not in self._there and path.exists()]
        entries = [entry for path in new for entry in _entries(path)]
        if entries:
            self._room.put("/", entries)
        self._there.update(new)

    def _share(self, folder: Path) -> Iterator[str]:
        """Have the call's own files; yield what links those with a password in them to their place."""
        entries = [Entry(name=str(folder)[1:], mode=0o755)]
        for number, entry in enumerate(_entries(folder)):
            text = _read(entry.path) if entry.path else None
            if text is not None and redact(text) != text:
                hidden = self._room.secret(f"shared-{number}", text)
                yield f"ln -sf {hidden} {shlex.quote('/' + entry.name)}"
            else:
                entries.append(entry)
        self._room.put("/", entries)


def _belongs(name: str) -> bool:
    """Say whether a variable is one of uv's that means the same in a container."""
    return name.startswith("UV_") and not name.startswith(_OURS)


def _certified(room: Room, *, system: bool) -> Mapping[str, str]:
    """Return the environment with proxies and certificates; the system's, where uv is told to use those."""
    environment = dict(os.environ)
    if system and not environment.get("SSL_CERT_FILE"):
        import ssl

        known = ssl.get_default_verify_paths()
        environment["SSL_CERT_FILE"] = known.cafile or ""
    return lay_out(room, environment).environment


def _settings(project: Path) -> str:
    """Return what all of uv's configuration files say together, without what is about this machine."""
    import tomli_w

    return tomli_w.dumps({key: value for key, value in settings(project).items() if key not in _OUR_KEYS})


def _netrc(credentials: Credentials, direct: Sequence[str]) -> str:
    """Return the user's netrc, with what a keyring knows of the indexes."""
    path = Path(os.environ.get("NETRC") or Path(os.environ.get("HOME") or "~", ".netrc")).expanduser()
    lines = [_read(path) or ""]
    if credentials.settings.keyring:
        for url in (*(one.url for one in credentials.settings.indexes), *direct):
            known = next((one for one in credentials.candidates(url) if one and one.source == _KEYRING), None)
            if known:
                lines.append(f"machine {urlsplit(url).hostname} login {known.user} password {known.password}")
    return "\n".join(lines) + "\n"


def _credentials_file() -> Path:
    """Return where `uv auth login` keeps what it was told."""
    home = Path(os.environ.get("HOME") or "~").expanduser()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return Path(os.environ.get("UV_CREDENTIALS_DIR") or data / "uv/credentials", "credentials.toml")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _local_places(urls: Iterable[str], root: Path) -> Iterator[Path]:
    """Yield the folders and files of this machine among the places that packages come from."""
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme == "file":
            yield Path(unquote(parts.path))
        elif not parts.scheme:
            yield Path(os.path.normpath(root / Path(url).expanduser()))


def _entries(path: Path) -> Iterator[Entry]:
    """Yield a file, or all files below a folder, under their own paths."""
    if path.is_file():
        yield Entry(name=str(path)[1:], path=path, mode=0o755 if os.access(path, os.X_OK) else 0o644)
    else:
        for below in sorted(path.rglob("*")):
            if below.is_file():
                yield Entry(name=str(below)[1:], path=below)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
