"""What `--require-hashes` asks for: every wheel is one that the project itself names a hash of.

The lock has the sha256 of every wheel in any case, so that nothing else than what was locked is built. This
goes further, as pip's option does: what an index offered when the lock was made is taken for nothing unless a
requirements file or an existing lock of the project has its hash too. For a wheel that was built here it is
the source archive's hash that counts. Folders and wheels of the project itself need none, nor does what the
runtime brings.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from layerkit.errors import ResolutionError
from layerkit.target import SDK_AS_ROOT, SDK_CORE, sdk_set

if TYPE_CHECKING:
    from layerkit.lock import Lock, LockedPackage
    from layerkit.project import Project


def prove(project: Project, lock: Lock) -> None:
    """Raise ResolutionError with every package of the lock that no hash of the project vouches for."""
    if names := unvouched(project, lock):
        count = "1 package is" if len(names) == 1 else f"{len(names)} packages are"
        raise ResolutionError(
            f"{count} in the lock without a hash of the project's own: {', '.join(names)}",
            where=str(lock.path),
            fix="write --hash=sha256:... behind them in requirements.txt, or keep a lock with hashes"
            " (poetry.lock, uv.lock, pylock.toml, Pipfile.lock)",
        )


def unvouched(project: Project, lock: Lock) -> list[str]:
    """Return those packages with their versions, in order; the project was read with its pins."""
    allowed: dict[str, set[str]] = defaultdict(set)
    for requirement in (*project.requirements(), *project.constraints):
        allowed[requirement.name].update(requirement.hashes)
    for pin in project.pins:
        allowed[pin.name].update(pin.hashes)
    own = {requirement.name for requirement in project.requirements() if requirement.path is not None}
    return [
        f"{package.name} {package.version}"
        for package in _deployed(project, lock)
        if package.name not in own and f"sha256:{_digest(package)}" not in allowed[package.name]
    ]


def _deployed(project: Project, lock: Lock) -> list[LockedPackage]:
    """Return what the project's requirements bring into layers, as plan/closure.py has it.

    Where the SDK is the runtime's, it is left out with what nothing else needs. Where it is shipped, all of
    its set is as soon as anything of it is, whoever asks.
    """
    known = {package.name: package for package in lock.packages}
    left = lock.sdk.mode == "runtime"
    names = [one.name for one in project.requirements()]
    waiting = [name for name in names if not (left and name in SDK_AS_ROOT)]
    found: dict[str, LockedPackage] = {}
    while waiting:
        name = waiting.pop()
        if name in known and name not in found and not (left and name in SDK_CORE):
            found[name] = known[name]
            waiting += [needed.name for needed in known[name].requires]
            waiting += sdk_set() if not left and name in sdk_set() else ()
    return sorted(found.values(), key=lambda package: package.name)


def _digest(package: LockedPackage) -> str:
    return package.source.sdist.sha256 if package.source else package.wheel.sha256
