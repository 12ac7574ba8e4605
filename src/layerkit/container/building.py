"""Wheels from source archives, built in the image of the runtime they are for.

What a build requires is chosen, fetched and, where it has no wheel either, built here, outside: the
container is given files and needs no index, so no credentials of one ever come near the code of packages,
and a build without a network is the same build. That code runs as an ordinary user of the container. A wheel
is kept in the store by the digest of its source, of its image and of the settings; whoever wants the same
again waits for it or finds it, and takes no container.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.container import build_image, notes, question
from layerkit.container.log import Log
from layerkit.container.room import Furnishing
from layerkit.container.sdist_build import SdistBuild, equip
from layerkit.container.surroundings import Surroundings, lay_out
from layerkit.container.vendoring import runs_on
from layerkit.errors import BuildError, NetworkError
from layerkit.lock.pick import pick
from layerkit.lock.sources import Sources, build_constraints
from layerkit.lock.uv import Candidate, Question, UnsatisfiableError, Uv
from layerkit.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.container.images import Image
    from layerkit.container.notes import Note
    from layerkit.container.room import Room, Rooms
    from layerkit.lock import LockedPackage, Source, WheelRef
    from layerkit.lock.sources import BuiltWheel
    from layerkit.project import Project
    from layerkit.store import Store
    from layerkit.target import Target

_WHY = "packages are built from source"
# Part of every key: to be raised when the same source would come out differently.
RECIPE = 1


class Bench(Struct, frozen=True, kw_only=True):
    """What the builds for one target work with.

    `need` gives the rooms on an engine for a reason that is told the user, `fetch` has files in the
    store.
    """

    project: Project
    target: Target
    store: Store
    need: Callable[[str], Rooms]
    fetch: Callable[[Sequence[WheelRef]], None]
    talk: Callable[[str], None]
    offline: bool


class Builder:
    """Builds the source archives of one target, one after the other, in one container."""

    def __init__(self, bench: Bench, bounds: tuple[str, ...] | None = None) -> None:
        """Keep what to work with; nothing is started before a wheel has to be built.

        `bounds` are constraints of what builds may use, by default those of the project.
        """
        self._bench = bench
        self._bounds = build_constraints(bench.project.root) if bounds is None else bounds
        self._at_work: list[str] = []
        self._equipped: dict[str, Surroundings] = {}

    def __call__(self, candidate: Candidate) -> BuiltWheel:
        """Return the wheel of a candidate's source archive, from the store or built now.

        Raises BuildError, EngineError, NetworkError and StorageError.
        """
        if candidate.sdist is None:
            raise BuildError(
                "there is no source archive of it", where=f"{candidate.name} {candidate.version}"
            )
        return self.built(candidate, candidate.sdist, None)

    def again(self, package: LockedPackage) -> str | None:
        """Have the wheel of a locked package in the store; say what differs if it is another one now.

        The build uses the versions of tools that the lock names, where they can be had.
        """
        source = package.source
        if source is None:
            return None
        candidate = Candidate(name=package.name, version=package.version, wheels=(), sdist=source.sdist)
        return differs(package, source, self.built(candidate, source.sdist, package))

    def folder(self, folder: Path, content: str, kept: Path) -> Path:
        """Return the wheel that a local folder builds into, under its own name in `kept`.

        `content` is the digest of the folder's content. The name of the image counts and not what it is
        today: whoever builds the same content again needs no engine.
        """
        from layerkit.lock.local import build_sdist, place

        bench = self._bench
        key = self._key(content, self._reference())
        with bench.store.lock(notes.KIND, key):
            note = notes.find(bench.store, key)
            if note is None:
                name, version, sdist = build_sdist(folder, bench.store, offline=bench.offline)
                candidate = Candidate(name=name, version=version, wheels=(), sdist=sdist)
                note = self._built(key, candidate, sdist, self._image(), ())
        return place(bench.store.path("wheels", note.sha256, ".whl"), kept / note.filename)

    def built(self, candidate: Candidate, sdist: WheelRef, locked: LockedPackage | None) -> BuiltWheel:
        """Return a wheel from the store, the locked one where one is locked, or build it."""
        bench = self._bench
        name = f"{candidate.name}-{candidate.version}"
        if name in self._at_work:  # before the lock, which this very build holds
            raise BuildError(f"its build requires itself: {' -> '.join([*self._at_work, name])}", where=name)
        bench.fetch([sdist])
        image = self._image()
        key = self._key(sdist.sha256, image.digest)
        with bench.store.lock(notes.KIND, key):
            note = notes.find(bench.store, key)
            if note is None or (locked is not None and locked.wheel.sha256 != note.sha256):
                tools = locked.source.tools if locked is not None and locked.source else ()
                note = self._built(key, candidate, sdist, image, tools)
        return note.described(bench.store, sdist)

    def _reference(self) -> str:
        return question.build_image(self._bench.project, self._bench.target)[0]

    def _image(self) -> Image:
        bench = self._bench
        engine = bench.need(_WHY).engine
        return build_image.ready(engine, bench.project, bench.target, bench.talk, offline=bench.offline)

    def _key(self, source: str, image: str) -> str:
        """Return the key of a build: everything that decides what comes out, but for the tools' versions."""
        target, system = self._bench.target, self._bench.project.containers.system
        decides = [RECIPE, source, image, target.key, target.glibc, system, self._bounds]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()

    def _built(
        self, key: str, candidate: Candidate, sdist: WheelRef, image: Image, tools: Sequence[str]
    ) -> Note:
        """Build a wheel, and keep it."""
        bench = self._bench
        self._at_work.append(f"{candidate.name}-{candidate.version}")
        try:
            bench.talk(
                f"{bench.target.key}: building {candidate.name} {candidate.version} in {image.reference}"
            )
            room = self._room(image)
            with tempfile.TemporaryDirectory(prefix="layerkit-") as folder:
                path, used = self._run(room, candidate, sdist, tools, Path(folder))
                return notes.keep(
                    bench.store,
                    key,
                    path,
                    image=image.reference,
                    digest=image.digest,
                    system=bench.project.containers.system,
                    tools=tuple(used),
                )
        finally:
            self._at_work.pop()

    def _room(self, image: Image) -> Room:
        """Return the target's container, with the system packages in it."""
        bench = self._bench
        network = "none" if bench.offline else bench.project.containers.network
        room = bench.need(_WHY).room(image, Furnishing(network=network))
        if room.id not in self._equipped:
            system = bench.project.containers.system
            if system and bench.offline:
                raise NetworkError(
                    f"system packages cannot be installed offline: {', '.join(system)}",
                    where=image.reference,
                    fix="run once without --offline, or put them into an image of your own (build-images)",
                )
            around = lay_out(room)
            if system:
                bench.talk(f"{bench.target.key}: installing {', '.join(system)}")
                with Log(self._log("system-packages"), around.secrets) as log:
                    equip(room, system, around, log)
            self._equipped[room.id] = around
        return room

    def _run(
        self, room: Room, candidate: Candidate, sdist: WheelRef, tools: Sequence[str], folder: Path
    ) -> tuple[Path, list[str]]:
        """Build, look at what the wheel needs and bring that along; return it and the tools' versions."""
        bench = self._bench
        around = self._equipped[room.id]
        archive = bench.store.path("sdists", sdist.sha256)
        with Log(self._log(f"{candidate.name}-{candidate.version}"), around.secrets) as log:
            build = SdistBuild(room, bench.target, candidate, around, log)
            used = build.prepare(archive, sdist.filename, lambda wanted: self._tools(wanted, tools))
            wheel = build.wheel(folder)
            _verify(wheel, candidate)
            libraries = build.libraries(folder)
        return runs_on(wheel, libraries, bench.target, folder / "made"), used

    def _log(self, name: str) -> Path:
        """Return where a log is, which holds one build."""
        path = self._bench.project.lock_folder / "logs" / f"{self._bench.target.key}-{name}.log"
        path.unlink(missing_ok=True)
        return path

    def _tools(self, wanted: Sequence[str], kept: Sequence[str]) -> list[tuple[LockedPackage, Path]]:
        """Return the wheels of what a build requires, each with its path in the store."""
        bench = self._bench
        uv = Uv(
            bench.target,
            bench.store,
            bench.project.root,
            sources=Sources((), self, may_add=True),
            offline=bench.offline,
        )
        question = Question(
            requirements=tuple(wanted), constraints=self._bounds, arguments=bench.project.index_arguments
        )
        try:
            try:
                found = uv.resolve(replace(question, constraints=(*self._bounds, *kept)))
            except UnsatisfiableError:
                if not kept:
                    raise
                found = uv.resolve(question)
        except UnsatisfiableError as error:
            what = f"what the build requires cannot be had: {error.what}"
            raise BuildError(what, where=self._at_work[-1]) from error
        packages = [pick(candidate, bench.target) for candidate in found]
        bench.fetch([package.wheel for package in packages])
        return [(one, bench.store.path("wheels", one.wheel.sha256, ".whl")) for one in packages]


def differs(package: LockedPackage, source: Source, made: BuiltWheel) -> str | None:
    """Say what differs where the wheel that was built is not the one of the lock."""
    if made.wheel.sha256 == package.wheel.sha256:
        return None
    image = made.source.digest
    why = "" if image == source.digest else f", in the image {image} and not in {source.digest}"
    return f"{package.name} {package.version} (sha256 {made.wheel.sha256[:12]}...{why})"


def _verify(wheel: Path, candidate: Candidate) -> None:
    """Read a wheel as strictly as one from an index, and refuse one of another package or version."""
    from packaging.version import Version

    made = Wheel.open(wheel, wheel.name)
    if (made.name, Version(made.version)) != (candidate.name, Version(candidate.version)):
        raise BuildError(
            f"its build gave {made.name} {made.version}", where=f"{candidate.name} {candidate.version}"
        )
