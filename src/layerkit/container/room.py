"""A room: one running container of an image, in which programs are run one after the other.

Rooms are opened in a `Rooms` block, each once per image and furnishing, and shared by all that ask for
the same; threads may open several side by side. When the block ends, by Ctrl-C or SIGTERM as well,
they are removed with everything in them. A run that is killed outright leaves them to
`Engine.sweep`, which the next `Rooms` calls before it opens its first.

Files go in and out as archives (tarred.py), so the engine may be anywhere. Secrets go into the
environment of one program (`run(env=...)`) or into a file in memory (`Room.secret`): neither is part
of the container's configuration, of an image or of a log.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.container.tarred import members, pack, unpack
from layerkit.errors import EngineError
from layerkit.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from tarfile import TarInfo
    from types import FrameType
    from typing import IO

    from typing_extensions import Self

    from layerkit.container.engine import Engine
    from layerkit.container.images import Image
    from layerkit.container.log import Log
    from layerkit.container.tarred import Entry

# Where secrets lie: a file system in memory, seen by this container alone.
SECRETS = "/run/layerkit"
_MOUNTED = {SECRETS: "size=1m,mode=1777"}
# A container that nobody removes ends by itself after a day.
_LIFETIME = "86400"
_MOST_OUTPUT = 16 << 20
_MOST_BYTES = 4 << 30
_CHUNK = 1 << 20
_PATIENCE, _PAUSE = 10.0, 0.05
WRONG_FORMAT = "exec format error"


class Furnishing(Struct, frozen=True, kw_only=True):
    """What a container gets beside its image.

    `network` is an engine's network mode: bridge, host, none or the name of a network. `memory` is in
    bytes. `temporary` are file systems in memory as (path, options of mount), `volumes` are (name of
    a volume, path, "ro" or "rw", with ",nocopy" where what the image has there shall not show).
    `read_only` forbids writing anywhere else.
    """

    network: str = "bridge"
    memory: int | None = None
    temporary: tuple[tuple[str, str], ...] = ()
    volumes: tuple[tuple[str, str, str], ...] = ()
    read_only: bool = False
    environment: tuple[tuple[str, str], ...] = ()


class Rooms:
    """The rooms of one command. Use it in a `with` block; threads may share it."""

    def __init__(self, engine: Engine) -> None:
        """Keep the engine; nothing is started before a room is asked for."""
        self.engine = engine
        self._rooms: dict[tuple[str, Furnishing], Room] = {}
        self._volumes: list[str] = []
        self._lock = threading.Lock()
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Let SIGTERM end the block as Ctrl-C does."""
        self._ending.enter_context(heeding_sigterm())
        return self

    def __exit__(self, *_: object) -> None:
        """Remove all rooms; those still at work in other threads end with an error there."""
        with self._ending:
            with self._lock:
                rooms, self._rooms = list(self._rooms.values()), {}
            for room in rooms:
                with contextlib.suppress(EngineError):  # the next run sweeps what stayed
                    room.remove()
            for name in self._volumes:
                with contextlib.suppress(EngineError), self.engine.talking("removing a volume"):
                    self.engine.client.remove_volume(name)

    def room(self, image: Image, furnishing: Furnishing | None = None) -> Room:
        """Return the running container of an image with a furnishing, started at the first call.

        Raises EngineError, for an image that the engine cannot run with the way to emulation.
        """
        furnishing = furnishing or Furnishing()
        with self._lock:
            if not self._rooms:
                self.engine.sweep()
            key = (image.id, furnishing)
            if key not in self._rooms:
                self._rooms[key] = _open(self.engine, image, furnishing)
            return self._rooms[key]

    def volume(self) -> str:
        """Return the name of a new volume, which rooms can share and which goes with them."""
        with self._lock, self.engine.talking("making a volume"):
            made = self.engine.client.create_volume(labels=self.engine.labels())
            self._volumes.append(str(made["Name"]))
            return self._volumes[-1]


class Room:
    """A running container. Paths are absolute and in it; programs run as root unless told otherwise."""

    def __init__(self, engine: Engine, image: Image, identity: str) -> None:
        """Name the container, by the engine's id of it."""
        self.engine = engine
        self.image = image
        self.id = identity

    def run(
        self,
        argv: Sequence[str],
        log: Log,
        *,
        env: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "/",
    ) -> int:
        """Run a program to its end and return its exit code; what it prints goes to the log.

        `user` is a name or `uid:gid`. Raises EngineError when the container or its engine ends first.
        """
        return self._execute(argv, lambda chunk, _: log.write(chunk), env, user, workdir)

    def output(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "/",
    ) -> str:
        """Return what a program prints on stdout. Raises EngineError with its stderr when it fails."""
        code, out, error = self.captured(argv, env=env, user=user, workdir=workdir)
        if code:
            said = (error or out).strip()
            raise EngineError(f"{argv[0]} ended with {code}: {redact(said)}", where=self.image.reference)
        return out

    def captured(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "/",
    ) -> tuple[int, str, str]:
        """Return a program's exit code, and what it prints on stdout and on stderr."""
        code, out, error = self.printed(argv, env=env, user=user, workdir=workdir)
        return code, out.decode("utf-8", "replace"), error.decode("utf-8", "replace")

    def printed(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "/",
        most: int = _MOST_OUTPUT,
    ) -> tuple[int, bytes, bytes]:
        """Return a program's exit code, and the bytes that it prints on stdout and on stderr."""
        printed = {1: bytearray(), 2: bytearray()}

        def take(chunk: bytes, stream: int) -> None:
            printed[stream] += chunk
            if len(printed[stream]) > most:
                raise EngineError(f"{argv[0]} prints without end", where=self.image.reference)

        code = self._execute(argv, take, env, user, workdir)
        return code, bytes(printed[1]), bytes(printed[2])

    def put(self, folder: str, entries: Iterable[Entry]) -> None:
        """Lay files down below a folder that exists; folders on the way to each file are made."""
        with self.engine.talking(f"sending files into {self.image.reference}"):
            self.engine.client.put_archive(self.id, folder, pack(entries))

    def members(self, path: str, *, links: bool = False) -> Iterator[tuple[TarInfo, IO[bytes] | None]]:
        """Give what lies at a path, as tarred.members does; names begin with the last part of `path`."""
        with self.engine.talking(f"reading {path} from {self.image.reference}"):
            chunks, _ = self.engine.client.get_archive(self.id, path, chunk_size=_CHUNK)
            yield from members(chunks, links=links)

    def get(self, path: str, folder: Path, *, most: int = _MOST_BYTES) -> tuple[Path, ...]:
        """Write the files at a path below a folder of this machine, and return their paths.

        They belong to the calling user. More than `most` bytes are refused.
        """
        return unpack(self.members(path), folder, most=most)

    def secret(self, name: str, text: str, *, user: str = "") -> str:
        """Put a secret into a file in memory, readable for one user only, and return its path."""
        path = f"{SECRETS}/{name}"
        script = f'umask 077; printf %s "$LAYERKIT_SECRET" > {path}'
        self.output(["/bin/sh", "-c", script], env={"LAYERKIT_SECRET": text}, user=user)
        return path

    def remove(self) -> None:
        """Stop the container and remove it, with its anonymous volumes; one that is gone is no fault."""
        from docker.errors import NotFound

        with self.engine.talking("removing a container"), contextlib.suppress(NotFound):
            self.engine.client.remove_container(self.id, v=True, force=True)

    def _execute(
        self,
        argv: Sequence[str],
        take: Callable[[bytes, int], None],
        env: Mapping[str, str] | None,
        user: str,
        workdir: str,
    ) -> int:
        """Run a program, hand on what it prints with the number of its stream, and return its code."""
        client = self.engine.client
        doing = f"running {argv[0]} in {self.image.reference}"
        with self.engine.talking(doing):
            identity = client.exec_create(
                self.id, list(argv), environment=dict(env or {}), user=user, workdir=workdir
            )["Id"]
            stream = client.exec_start(identity, stream=True, demux=True)
        try:
            for pair in self._given(stream, doing):
                for number, chunk in enumerate(pair, start=1):
                    if chunk:
                        take(chunk, number)
        finally:
            # The SDK never closes the connection that the stream came by, and gives no other hold of it.
            stream._response.close()  # type: ignore[attr-defined]  # noqa: SLF001
        return self._code(identity, doing)

    def _given(self, stream: Iterable[Any], doing: str) -> Iterator[Any]:
        """Give what a stream holds; whatever breaks it is told as the engine's failure."""
        pairs = iter(stream)
        while True:
            with self.engine.talking(doing):
                pair = next(pairs, None)
            if pair is None:
                return
            yield pair

    def _code(self, identity: str, doing: str) -> int:
        """Return a program's exit code; the engine may learn of its end a moment after its output's."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self.engine.talking(doing):
                state = self.engine.client.exec_inspect(identity)
            if not state["Running"]:
                code: int = state["ExitCode"]
                return code
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the connection to the engine broke while {doing}", where=self.engine.where
                )
            time.sleep(_PAUSE)


def _open(engine: Engine, image: Image, furnishing: Furnishing) -> Room:
    """Start a container that waits, and prove that it can run programs."""
    client = engine.client
    with engine.talking(f"starting {image.reference}"):
        identity = client.create_container(
            image.id,
            command=[_LIFETIME],
            entrypoint=["sleep"],
            user="0:0",
            working_dir="/",
            labels=engine.labels(),
            platform=image.platform,
            environment=dict(furnishing.environment),
            host_config=client.create_host_config(
                network_mode=furnishing.network,
                mem_limit=furnishing.memory,
                memswap_limit=furnishing.memory,  # memory is all there is: no swap beside it
                tmpfs={**_MOUNTED, **dict(furnishing.temporary)},
                binds={name: {"bind": path, "mode": mode} for name, path, mode in furnishing.volumes},
                read_only=furnishing.read_only,
                security_opt=["no-new-privileges:true"],
            ),
        )["Id"]
    room = Room(engine, image, identity)
    try:
        _start(room)
    except BaseException:
        with contextlib.suppress(EngineError):
            room.remove()
        raise
    return room


def _start(room: Room) -> None:
    """Start the container; an architecture that the engine cannot run is told apart from other failures."""
    engine, image = room.engine, room.image
    try:
        with engine.talking(f"starting {image.reference}"):
            engine.client.start(room.id)
        if image.arch != engine.arch:
            room.output(["/bin/sh", "-c", ":"])
    except EngineError as error:
        if WRONG_FORMAT in error.what or WRONG_FORMAT in _last_words(room):
            raise no_emulation(image.platform, image.reference) from error
        raise


def _last_words(room: Room) -> str:
    """Return what a container printed before it ended."""
    with room.engine.talking("reading a container's log"):
        return bytes(room.engine.client.logs(room.id, tail=5)).decode("utf-8", "replace")


def no_emulation(platform: str, where: str) -> EngineError:
    """Return the error for a platform that the engine's processor cannot run, with what helps."""
    machine = platform.partition("/")[2]
    return EngineError(
        f"the engine cannot run {platform}: its machine has another processor and no emulation",
        where=where,
        fix=f"on the engine's machine: `docker run --privileged --rm tonistiigi/binfmt --install {machine}`,"
        " or the packages qemu-user-static and binfmt-support (Debian, Ubuntu), qemu-user-static (Fedora);"
        f" or let DOCKER_HOST point to an engine on {machine}",
    )


@contextlib.contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block through all that has to be tidied up, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End as a program that SIGTERM ends, but through all `with` blocks."""
    raise SystemExit(128 + signal.SIGTERM)
