"""The rule about the AWS SDK: one set, all of it from the runtime or all of it in a layer.

The runtime's own botocore must be able to work with every package of ours that it will find
first on sys.path (urllib3, python-dateutil, ...). So the runtime's boto3 and botocore take part
in the resolution, pinned; if that succeeds the set is left out of the layers. It does not
succeed when a requirement needs another version, nor when one of the project's own requirements
would have to take an older version than it otherwise would: then the newest set that fits goes
into a layer, and the requirement that forced it is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from layerkit.errors import ResolutionError
from layerkit.lock import SdkDecision
from layerkit.lock.uv import UnsatisfiableError
from layerkit.target import sdk_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerkit.lock.uv import Candidate, Question, Uv
    from layerkit.project import Pin, SdkRule
    from layerkit.target import Sdk

SDK_CORE = ("boto3", "botocore")


class Resolution(Struct, frozen=True, kw_only=True):
    """The versions chosen for one target, the decision about the SDK, and what is worth saying."""

    candidates: tuple[Candidate, ...]
    sdk: SdkDecision
    notes: tuple[str, ...] = ()


def choose_versions(
    uv: Uv, question: Question, pins: Mapping[str, Pin], roots: frozenset[str], choice: SdkRule
) -> Resolution:
    """Return the versions for `question`, following the rule above.

    `pins` are those of an existing lock by name, already part of the question's constraints;
    `roots` the names that the project itself requires. Raises UnsatisfiableError when nothing
    fits, and ResolutionError when `choice` is "runtime" and the runtime's SDK does not.
    """
    sdk = uv.target.sdk
    if choice == "bundle":
        return _bundled(uv, question, "the project says so")
    if sdk is None:
        return _unknown(uv, question, choice)
    free = uv.resolve(question) if choice == "auto" else ()
    try:
        pinned, notes = _with_runtime_sdk(uv, question, pins, sdk)
    except UnsatisfiableError as error:
        if choice == "runtime":
            raise ResolutionError(
                f"the requirements do not fit the SDK that {uv.target.runtime} brings\n{error.what}",
                fix="sdk = 'auto' or 'bundle' puts a fitting SDK into a layer",
            ) from error
        return _bundled(uv, question, _first_line(error.what), free)
    aged = _held_back(free, pinned)
    needing = sorted(name for name in aged if name in roots and name not in sdk_set())
    if needing:
        older = ", ".join(f"{name} {aged[name][1]}" for name in needing)
        return _bundled(uv, question, f"with the runtime's SDK there would be only {older}", free)
    notes += tuple(
        f"{name} {old} instead of {new}: it fits the SDK {sdk.botocore} that the runtime brings"
        for name, (new, old) in sorted(aged.items())
    )
    seen = f", last seen {sdk.seen}" if sdk.seen else ""
    reason = f"everything fits boto3 {sdk.boto3} of the runtime ({sdk.source}{seen})"
    return Resolution(candidates=pinned, sdk=SdkDecision(mode="runtime", reason=reason), notes=notes)


def _with_runtime_sdk(
    uv: Uv, question: Question, pins: Mapping[str, Pin], sdk: Sdk
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Resolve with the runtime's SDK: first with every pin, then without the pins of the SDK's set.

    An existing lock pins some SDK, hardly ever the runtime's; its other pins are kept.
    """
    wanted = (f"boto3=={sdk.boto3}", f"botocore=={sdk.botocore}")
    asked = replace(question, requirements=(*question.requirements, *wanted))
    try:
        return uv.resolve(asked), ()
    except UnsatisfiableError:
        relaxed = sdk_set() & set(pins)
        if not relaxed:
            raise
    kept = list(question.constraints)
    for name in relaxed:
        # Once each: a constraint of the project's own may say the same, and that one stays.
        kept.remove(f"{name}=={pins[name].version}")
    chosen = uv.resolve(replace(asked, constraints=tuple(kept)))
    return chosen, tuple(_moved(chosen, pins, relaxed))


def _moved(chosen: Iterable[Candidate], pins: Mapping[str, Pin], relaxed: frozenset[str]) -> Iterable[str]:
    """Say which pins of the SDK's set gave way to the runtime's SDK."""
    for candidate in chosen:
        if candidate.name in relaxed and candidate.version != pins[candidate.name].version:
            instead = f"instead of the pinned {pins[candidate.name].version}"
            yield f"{candidate.name} {candidate.version} {instead}: it fits the runtime's SDK"


def _bundled(uv: Uv, question: Question, reason: str, free: tuple[Candidate, ...] = ()) -> Resolution:
    """Resolve with boto3 among the requirements, so that the set is whole.

    `free` is the resolution without any regard to the SDK, where it is known. If that has no SDK,
    only a boto3 as new as the runtime's is worth shipping; if there is none that fits, the project
    does without, and is told.
    """
    sdk = uv.target.sdk
    unasked = bool(free) and not any(candidate.name in SDK_CORE for candidate in free)
    wanted = f"boto3>={sdk.boto3}" if unasked and sdk else "boto3"
    asked = replace(question, requirements=(*question.requirements, wanted))
    try:
        candidates = uv.resolve(asked)
    except UnsatisfiableError:
        if not unasked:
            raise
        said = f"no boto3 fits what the project requires, neither the runtime's nor a newer one: {reason}"
        note = f"functions with these layers cannot use boto3: {said}"
        return Resolution(candidates=free, sdk=SdkDecision(mode="absent", reason=said), notes=(note,))
    return Resolution(candidates=candidates, sdk=SdkDecision(mode="bundle", reason=reason))


def _unknown(uv: Uv, question: Question, choice: SdkRule) -> Resolution:
    """Resolve for a runtime whose SDK nobody has seen: what the project needs goes into a layer."""
    name = uv.target.runtime
    if choice == "runtime":
        raise ResolutionError(
            f"nobody has seen which SDK {name} brings", fix="say it with sdk-version, or use sdk = 'bundle'"
        )
    candidates = uv.resolve(question)
    if any(candidate.name in SDK_CORE for candidate in candidates):
        return _bundled(uv, question, f"nobody has seen which SDK {name} brings")
    reason = f"the project needs none, and nobody has seen which one {name} brings"
    return Resolution(candidates=candidates, sdk=SdkDecision(mode="absent", reason=reason))


def _held_back(free: Iterable[Candidate], pinned: Iterable[Candidate]) -> dict[str, tuple[str, str]]:
    """Return the packages that are older beside the runtime's SDK: name to (without, with).

    The set itself does not count: being the runtime's version is its point.
    """
    from packaging.version import Version

    newest = {candidate.name: candidate.version for candidate in free}
    return {
        candidate.name: (newest[candidate.name], candidate.version)
        for candidate in pinned
        if candidate.name in newest
        and candidate.name not in SDK_CORE
        and Version(candidate.version) < Version(newest[candidate.name])
    }


def _first_line(text: str) -> str:
    """Return uv's reasoning without its heading, on one line."""
    lines = [line.strip().removeprefix("cause: ") for line in text.splitlines()[1:]]
    return " ".join(line for line in lines if line and not line.startswith("hint:"))
