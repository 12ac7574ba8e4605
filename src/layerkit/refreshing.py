"""Facts about runtimes, read anew from their images and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit import image_facts
from layerkit.errors import EngineError
from layerkit.output import write_bytes
from layerkit.target import parse_arch, supported_runtimes
from layerkit.target import target as make_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerkit.container.room import Rooms
    from layerkit.engines import Engines
    from layerkit.image_facts import ImageFacts
    from layerkit.target import Target

_WHY = "facts are read from the images"


def refresh(
    engines: Engines,
    talk: Callable[[str], None],
    *,
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    offline: bool = False,
) -> None:
    """Read what the runtimes' images hold and keep it, target by target.

    Without names all runtimes that AWS supports are read, on the architecture of the engine's machine.
    What was read is kept although another image fails; then an EngineError says which.
    """
    rooms = engines.need("runtimes", _WHY)
    arches = tuple(map(parse_arch, architectures)) or (rooms.engine.arch or "x86_64",)
    known, failed = image_facts.read(), []
    targets = [make_target(name, arch) for name in runtimes or supported_runtimes() for arch in arches]
    for target in targets:
        try:
            found = _held(rooms, target, talk, offline=offline)
        except EngineError as error:
            failed.append(error)
            if len(targets) > 1:
                talk(f"{target.key}: {error.what}")
            continue
        known[target.key] = found
        write_bytes(image_facts.path(), image_facts.written(known))
        talk("\n  ".join([f"{target.key}: {_summary(found)}", *_changes(target, found)]))
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise EngineError(
            f"{len(failed)} of {len(targets)} images could not be read: {failed[0].what}",
            where=", ".join(str(error.where) for error in failed),
            fix=failed[0].fix,
        )


def _held(rooms: Rooms, target: Target, talk: Callable[[str], None], *, offline: bool) -> ImageFacts:
    """Return what a target's image holds, the image as its registry has it now."""
    from layerkit.container.holdings import held
    from layerkit.container.images import newest, reference

    wanted = reference(target, "run", {})
    return held(rooms, newest(rooms.engine, wanted, target.arch, talk, offline=offline), target)


def _summary(found: ImageFacts) -> str:
    return (
        f"Python {found.python}, glibc {found.glibc}, boto3 {found.version('boto3')},"
        f" {len(found.packages)} packages, {len(found.libraries)} libraries in {found.source}"
    )


def _changes(before: Target, found: ImageFacts) -> Iterator[str]:
    """Yield what was known otherwise until now, whatever layers depend on."""
    sdk, glibc = before.sdk, ".".join(map(str, before.glibc))
    for name, was, now in (
        ("Python", before.python, found.python),
        ("glibc", glibc, found.glibc),
        ("boto3", sdk and sdk.boto3, found.version("boto3")),
        ("botocore", sdk and sdk.botocore, found.version("botocore")),
    ):
        if was != now:
            yield f"{name}: {was or 'unknown'} -> {now}"
