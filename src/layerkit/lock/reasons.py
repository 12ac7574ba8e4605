"""Why a lock is as it is: what forced the SDK into a layer, and what is older than it need be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from layerkit.lock.sdk import SDK_CORE
from layerkit.metadata import Dependency
from layerkit.target import sdk_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layerkit.lock import LockedPackage, SdkDecision
    from layerkit.lock.uv import Uv
    from layerkit.project import Pin, Requirement
    from layerkit.target import Target

_SPECIFIER = re.compile(r"[^\[<>=!~;(@\s]+(?:\[[^\]]*\])?\s*\(?([^;)@]*)")


def forced_by(
    decision: SdkDecision, packages: Iterable[LockedPackage], bounds: Iterable[Requirement], target: Target
) -> SdkDecision:
    """Replace uv's reasoning by the requirement that forced the SDK into a layer, where one can be named.

    `bounds` are the project's own requirements and constraints, those that count on the target.
    """
    sdk = target.sdk
    if decision.mode != "bundle" or sdk is None or decision.reason == "the project says so":
        return decision
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    brought = {"boto3": sdk.boto3, "botocore": sdk.botocore}
    needs = [
        (f"{p.name} {p.version}", need) for p in packages if p.name not in SDK_CORE for need in p.requires
    ]
    needs += [(bound.origin, _as_dependency(bound)) for bound in bounds]
    for who, need in needs:
        try:
            fits = need.name not in brought or brought[need.name] in SpecifierSet(need.specifier)
        except InvalidSpecifier:
            continue
        if not fits:
            has = f"the runtime brings {brought[need.name]}" + (
                f" (last seen {sdk.seen})" if sdk.seen else ""
            )
            return replace(decision, reason=f"{who} requires {need.name}{need.specifier}; {has}")
    return decision


def older(
    uv: Uv,
    arguments: Sequence[str],
    packages: Sequence[LockedPackage],
    bounds: Iterable[Requirement],
    pins: Mapping[str, Pin],
) -> Iterable[str]:
    """Say which packages are not the newest for no other reason than that it has no wheel that fits."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    needs = [need for package in packages for need in package.requires] + [
        _as_dependency(one) for one in bounds
    ]
    free = {
        p.name: p.version
        for p in packages
        if p.wheel.path is None and p.source is None and p.name not in pins
    }
    unbuilt = uv.unbuilt(free, arguments)
    for name, newest in sorted(unbuilt.items()):
        try:
            wanted = all(newest in SpecifierSet(need.specifier) for need in needs if need.name == name)
        except InvalidSpecifier:
            wanted = True
        if wanted and name not in sdk_set():
            level = ".".join(map(str, uv.target.glibc))
            fits = f"{uv.target.key} (glibc {level})"
            yield f"{name} {free[name]}: the newest version, {newest}, has no wheel that fits {fits}"


def _as_dependency(root: Requirement) -> Dependency:
    """Return a requirement of the project in the form of a package's."""
    found = _SPECIFIER.match(root.text)
    specifier = found[1].strip() if found and not root.path else ""
    return Dependency(name=root.name, specifier=specifier, extras=root.extras, extra="")
