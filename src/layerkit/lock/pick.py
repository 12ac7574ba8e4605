"""One wheel per package: the one that fits best, with a hash that the project's own files allow."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.errors import ResolutionError
from layerkit.lock import LockedPackage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerkit.lock import WheelRef
    from layerkit.lock.uv import Candidate
    from layerkit.project import Pin, Requirement
    from layerkit.target import Target


def pick(candidate: Candidate, target: Target) -> LockedPackage:
    """Return the candidate with the wheel that fits the target best: the tag order is pip's."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    rank = {tag: place for place, tag in enumerate(target.tags())}
    ranked: list[tuple[int, tuple[int, str], WheelRef]] = []
    for wheel in candidate.wheels:
        try:
            _, _, build, tags = parse_wheel_filename(wheel.filename)
        except InvalidWheelFilename:
            continue
        fitting = [rank[str(tag)] for tag in tags if str(tag) in rank]
        if fitting:
            number = build or (0, "")
            ranked.append((min(fitting), (-number[0], number[1]), wheel))
    if not ranked:
        raise ResolutionError(
            f"{candidate.name} {candidate.version} has no wheel that fits {target.key}",
            where=", ".join(wheel.filename for wheel in candidate.wheels) or None,
            fix=f"the newest tag that fits is {target.tags()[0]}",
        )
    return LockedPackage(
        name=candidate.name,
        version=candidate.version,
        wheel=min(ranked, key=lambda r: r[:2])[2],
        source=candidate.source,
    )


def sized(package: LockedPackage) -> LockedPackage:
    """Add the size and hash of a wheel that lies on disk and that no index vouches for."""
    if package.wheel.path is None:
        return package
    with Path(package.wheel.path).open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        wheel = replace(package.wheel, sha256=digest.hexdigest(), size=file.tell())
    return replace(package, wheel=wheel)


def attested(packages: Iterable[LockedPackage], pins: Mapping[str, Pin]) -> tuple[LockedPackage, ...]:
    """Return the packages with who attested to them, where a pin says so of the very file."""
    return tuple(
        replace(package, attestations=pins[package.name].attestations)
        if package.source is None
        and package.name in pins
        and f"sha256:{package.wheel.sha256}" in pins[package.name].hashes
        else package
        for package in packages
    )


def verify_hashes(
    packages: Iterable[LockedPackage],
    roots: Iterable[Requirement],
    pins: Mapping[str, Pin],
    source: str | None,
) -> None:
    """Refuse wheels that the project's own hashes do not admit, all of them in one error.

    Of a package that was built here, the hash is the one of its source archive.
    """
    allowed: dict[str, tuple[frozenset[str], str]] = {}
    for pin in pins.values():
        if pin.hashes:
            allowed[pin.name] = (pin.hashes, source or "the lock")
    for root in roots:
        if root.hashes:
            allowed[root.name] = (frozenset(root.hashes), root.origin)
    files = {package: package.source.sdist if package.source else package.wheel for package in packages}
    wrong = [
        f"{file.filename} has sha256:{file.sha256}, which {allowed[package.name][1]} does not allow"
        for package, file in files.items()
        if package.name in allowed
        and _pinned_version(package, pins)
        and f"sha256:{file.sha256}" not in allowed[package.name][0]
    ]
    if wrong:
        raise ResolutionError(
            "\n".join(wrong),
            fix="the file changed on the index, or the hashes were written for another platform",
        )


def _pinned_version(package: LockedPackage, pins: Mapping[str, Pin]) -> bool:
    """Tell whether the hashes speak of this version: a pin that gave way to the SDK does not."""
    return package.name not in pins or pins[package.name].version == package.version
