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
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerkit.container import images
from layerkit.container.log import Log
from layerkit.container.room import Furnishing
from layerkit.container.sdist_build import SdistBuild, equip
from layerkit.container.surroundings import Surroundings, lay_out
from layerkit.container.vendoring import runs_on
from layerkit.errors import BuildError, NetworkError
from layerkit.lock import Source, WheelRef
from layerkit.lock.pick import pick
from layerkit.lock.sources import BuiltWheel, Sources, build_constraints
from layerkit.lock.uv import Candidate, Question, UnsatisfiableError, Uv
from layerkit.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.container.images import Image
    from layerkit.container.room import Room, Rooms
    from layerkit.lock import LockedPackage
    from layerkit.project import Project
    from layerkit.store import Store
    from layerkit.target import Target

KIND, SUFFIX = "built", ".json"
_WHY = "packages without a wheel are built from source"
# Part of every key: to be raised when the same source would come out differently.
RECIPE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
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

    def __init__(self, bench: Bench) -> None:
        """Keep what to work with; nothing is started before a wheel has to be built."""
        self._bench = bench
        self._bounds = build_constraints(bench.project.root)
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
        return self._make(candidate, candidate.sdist, None)

    def again(self, package: LockedPackage) -> str | None:
        """Have the wheel of a locked package in the store; say what differs if it is another one now.

        The build uses the versions of tools that the lock names, where they can be had.
        """
        source = package.source
        if source is None:
            return None
        candidate = Candidate(name=package.name, version=package.version, wheels=(), sdist=source.sdist)
        made = self._make(candidate, source.sdist, package)
        if made.wheel.sha256 == package.wheel.sha256:
            return None
        image = made.source.digest
        why = "" if image == source.digest else f", in the image {image} and not in {source.digest}"
        return f"{package.name} {package.version} (sha256 {made.wheel.sha256[:12]}...{why})"

    def _make(self, candidate: Candidate, sdist: WheelRef, locked: LockedPackage | None) -> BuiltWheel:
        """Return a wheel from the store, the locked one where one is locked, or build it."""
        bench = self._bench
        name = f"{candidate.name}-{candidate.version}"
        if name in self._at_work:  # before the lock, which this very build holds
            raise BuildError(f"its build requires itself: {' -> '.join([*self._at_work, name])}", where=name)
        bench.fetch([sdist])
        rooms = bench.need(_WHY)
        image = self._image(rooms)
        key = self._key(sdist, image)
        with bench.store.lock(KIND, key):
            found = self._kept(key, sdist)
            if found is not None and (locked is None or locked.wheel.sha256 == found.wheel.sha256):
                return found
            tools = locked.source.tools if locked is not None and locked.source else ()
            return self._built(rooms, image, key, candidate, sdist, tools)

    def _image(self, rooms: Rooms) -> Image:
        bench = self._bench
        configured = dict(bench.project.containers.build_images)
        named = images.reference(bench.target, "build", configured)
        return images.ready(rooms.engine, named, bench.target.arch, bench.talk, offline=bench.offline)

    def _key(self, sdist: WheelRef, image: Image) -> str:
        """Return the key of a build: everything that decides what comes out, but for the tools' versions."""
        target, system = self._bench.target, self._bench.project.containers.system
        decides = [RECIPE, sdist.sha256, image.id, target.key, target.glibc, system, self._bounds]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()

    def _kept(self, key: str, sdist: WheelRef) -> BuiltWheel | None:
        """Return the wheel of an earlier build, if the store still has it."""
        store = self._bench.store
        note = store.find(KIND, key, SUFFIX)
        if note is None:
            return None
        known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        ref = WheelRef(filename=known["filename"], sha256=known["sha256"], size=known["size"])
        if store.find("wheels", ref.sha256, ".whl", size=ref.size) is None:
            return None
        source = Source(
            sdist=sdist,
            image=known["image"],
            digest=known["digest"],
            system=tuple(known["system"]),
            tools=tuple(known["tools"]),
        )
        return _described(store, ref, source)

    def _built(
        self,
        rooms: Rooms,
        image: Image,
        key: str,
        candidate: Candidate,
        sdist: WheelRef,
        tools: Sequence[str],
    ) -> BuiltWheel:
        """Build a wheel, and keep it."""
        bench = self._bench
        name = f"{candidate.name}-{candidate.version}"
        self._at_work.append(name)
        try:
            bench.talk(
                f"{bench.target.key}: building {candidate.name} {candidate.version} in {image.reference}"
            )
            room = self._room(rooms, image)
            with tempfile.TemporaryDirectory(prefix="layerkit-") as folder:
                path, used = self._run(room, candidate, sdist, tools, Path(folder))
                ref = _keep(bench.store, path)
        finally:
            self._at_work.pop()
        system = bench.project.containers.system
        source = Source(
            sdist=sdist, image=image.reference, digest=image.digest, system=system, tools=tuple(used)
        )
        note = {
            "filename": ref.filename, "sha256": ref.sha256, "size": ref.size, "image": source.image,
            "digest": source.digest, "system": system, "tools": source.tools,
        }  # fmt: skip
        with bench.store.publish(KIND, key, SUFFIX) as temporary:
            temporary.write_text(json.dumps(note), encoding="utf-8")
        return _described(bench.store, ref, source)

    def _room(self, rooms: Rooms, image: Image) -> Room:
        """Return the target's container, with the system packages in it."""
        bench = self._bench
        network = "none" if bench.offline else bench.project.containers.network
        room = rooms.room(image, Furnishing(network=network))
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


def _verify(wheel: Path, candidate: Candidate) -> None:
    """Read a wheel as strictly as one from an index, and refuse one of another package or version."""
    from packaging.version import Version

    made = Wheel.open(wheel, wheel.name)
    if (made.name, Version(made.version)) != (candidate.name, Version(candidate.version)):
        raise BuildError(
            f"its build gave {made.name} {made.version}", where=f"{candidate.name} {candidate.version}"
        )


def _keep(store: Store, path: Path) -> WheelRef:
    """Put a wheel into the store, after reading it strictly."""
    digest = Wheel.open(path, path.name).sha256
    with store.publish("wheels", digest, ".whl") as temporary:
        shutil.copyfile(path, temporary)
    return WheelRef(filename=path.name, sha256=digest, size=path.stat().st_size)


def _described(store: Store, ref: WheelRef, source: Source) -> BuiltWheel:
    """Return a wheel of the store with what its METADATA says."""
    wheel = Wheel.open(store.path("wheels", ref.sha256, ".whl"), ref.filename, ref.sha256)
    said = wheel.metadata
    return BuiltWheel(wheel=ref, source=source, requires=said.requires, extras=said.provides_extras)
