"""A function's layers: set in the planned order, after its sum was checked, and waited for.

Layers that are not of the project stay where they are, beneath ours or above; they count in the sum and
among the five. Where they do not fit, or would have to go, nothing is changed and they are named.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import AwsError, LimitExceededError, UsageError
from layerkit.publish.calls import RefusedError
from layerkit.publish.names import LayerArn
from layerkit.publish.remote import unzipped_size
from layerkit.publish.versions import get_version
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerkit.publish.names import NameForm
    from layerkit.publish.places import Place

# Another update is under way; or somebody changed the function since it was looked at.
_BUSY = frozenset({"ResourceConflictException", "PreconditionFailedException"})
_ATTEMPTS = 5
_PATIENCE = 300.0  # seconds that an update may take
LOOK = 1.0  # seconds between two looks at it


class Stacked(Struct, frozen=True, kw_only=True):
    """A layer for a function: its ARN, and the bytes it unzips to. None as ARN: it is yet to be published."""

    name: str
    arn: str | None
    unzipped: int


class Attachment(Struct, frozen=True, kw_only=True):
    """What a function has now and shall have, the lowest layer first; `total` is the sum in bytes."""

    function: str
    runtime: str
    architecture: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    foreign: tuple[str, ...]
    total: int
    revision: str | None

    @property
    def changes(self) -> bool:
        """Say whether anything is to be done."""
        return self.before != self.after


def configuration(place: Place, function: str) -> dict[str, Any]:
    """Return a function's configuration, when no update of it is under way. Raises AwsError, UsageError."""
    deadline = time.monotonic() + _PATIENCE
    where = f"{place.key} function {function}"
    request = partial(place.functions.get_function_configuration, FunctionName=function)
    while True:
        found: dict[str, Any] = dict(place.calls.ask("lambda:GetFunctionConfiguration", request, where=where))
        if found.get("PackageType", "Zip") != "Zip":
            what = "the function is a container image, which takes no layers"
            raise UsageError(what, where=where)
        if found.get("LastUpdateStatus") != "InProgress" and found.get("State") != "Pending":
            return found
        if time.monotonic() > deadline:
            what = f"an update of the function has taken more than {_PATIENCE:.0f} seconds"
            raise AwsError(what, where=where, fix="look at it, and run this again")
        place.calls.sleep(LOOK)


def planned(
    place: Place,
    found: Mapping[str, Any],
    stack: Sequence[Stacked],
    form: NameForm,
    *,
    sizes: dict[str, int],
    drop_foreign: bool = False,
) -> Attachment:
    """Return what a function shall have, after checking it. Nothing is changed.

    `found` is its configuration, `stack` our layers for it. `sizes` are bytes unzipped, of code by CodeSha256
    and of layers by ARN; what has to be looked up is added. Raises LimitExceededError with all parts of it.
    """
    function, where = found["FunctionName"], f"{place.key} function {found['FunctionName']}"
    before = tuple(layer["Arn"] for layer in found.get("Layers", ()))
    beneath, above = ([], []) if drop_foreign else _around(before, place.account, form)
    ours = [layer.arn or f"{layer.name}:(new)" for layer in stack]
    after = (*beneath, *ours, *above)
    _check_count(after, [*beneath, *above], where)
    parts = [(layer.name, layer.unzipped) for layer in stack]
    for arn in (*beneath, *above):
        if arn not in sizes:
            sizes[arn] = _foreign_size(place, arn)
        parts.append((arn, sizes[arn]))
    digest = found["CodeSha256"]
    if digest not in sizes:
        sizes[digest] = _code_size(place, function)
    parts.append(("the function's code", sizes[digest]))
    return Attachment(
        function=function,
        runtime=found.get("Runtime", ""),
        architecture=found.get("Architectures", ["x86_64"])[0],
        before=before,
        after=after,
        foreign=(*beneath, *above),
        total=_check_sum(parts, where),
        revision=found.get("RevisionId"),
    )


def _around(before: Sequence[str], account: str, form: NameForm) -> tuple[list[str], list[str]]:
    """Return the layers that are not ours: those before the first of ours, and those after it.

    Where a function has none of ours yet, all of the others lie beneath.
    """
    mine = [index for index, arn in enumerate(before) if _is_ours(arn, account, form)]
    first = mine[0] if mine else len(before)
    others = [index for index in range(len(before)) if index not in mine]
    return [before[i] for i in others if i < first], [before[i] for i in others if i > first]


def _is_ours(arn: str, account: str, form: NameForm) -> bool:
    """Say whether a layer is one of the project's, of any version."""
    parts = LayerArn.parse(arn)
    return parts is not None and parts.account == account and form.series(parts.name) is not None


def _check_count(after: Sequence[str], foreign: Sequence[str], where: str) -> None:
    most = limit("layers_per_function")
    if len(after) > most:
        what = (
            f"{len(after)} layers, Lambda takes {most}; not of this project: {', '.join(foreign) or 'none'}"
        )
        fix = "merge layers, or have the others taken away: --drop-foreign-layers"
        raise LimitExceededError(what, where=where, fix=fix)


def _foreign_size(place: Place, arn: str) -> int:
    """Return what somebody else's layer unzips to."""
    parts = LayerArn.parse(arn)
    where = f"{place.key} layer {arn}"
    found = None
    if parts is not None and parts.version is not None:
        found = get_version(place, arn.rpartition(":")[0], parts.version)
    if found is None:
        what = "the size of this layer cannot be had, and so the function's sum not be checked"
        raise AwsError(what, where=where, fix="have it taken away: --drop-foreign-layers")
    return unzipped_size(place.calls, found.location, where)


def _code_size(place: Place, function: str) -> int:
    """Return what a function's code unzips to."""
    where = f"{place.key} function {function}"
    request = partial(place.functions.get_function, FunctionName=function)
    address = place.calls.ask("lambda:GetFunction", request, where=where)["Code"]["Location"]
    return unzipped_size(place.calls, address, where)


def _check_sum(parts: Sequence[tuple[str, int]], where: str) -> int:
    """Return the sum. Raises LimitExceededError with the largest parts first."""
    total, allowed = sum(size for _, size in parts), limit("unzipped_bytes")
    if total >= allowed:
        listed = ", ".join(f"{name} {size:,}" for name, size in sorted(parts, key=lambda part: -part[1]))
        what = f"{total:,} bytes unzipped, {total - allowed + 1:,} more than Lambda takes: {listed}"
        raise LimitExceededError(what, where=where, fix="leave packages out, or split the function")
    return total


def attach(place: Place, attachment: Attachment, *, again: Callable[[], Attachment]) -> Attachment:
    """Give a function its layers, and wait until they are there; return what was done.

    Where somebody else is changing the function, `again` waits and plans anew. Raises AwsError.
    """
    if not attachment.changes:
        return attachment
    where = f"{place.key} function {attachment.function}"
    for attempt in range(_ATTEMPTS):
        revision: dict[str, Any] = {"RevisionId": attachment.revision} if attachment.revision else {}
        request = partial(
            place.functions.update_function_configuration,
            FunctionName=attachment.function,
            Layers=list(attachment.after),
            **revision,
        )
        try:
            place.calls.ask("lambda:UpdateFunctionConfiguration", request, where=where, hear=_BUSY)
            break
        except RefusedError as refused:
            if attempt == _ATTEMPTS - 1:
                raise refused.error from None
            place.calls.sleep(LOOK)
            attachment = again()  # which waits for the update that is under way
            if not attachment.changes:
                return attachment
    _wait_for(place, attachment, where)
    return attachment


def _wait_for(place: Place, attachment: Attachment, where: str) -> None:
    """Return when the update has succeeded, and the layers are those that were asked for."""
    found = configuration(place, attachment.function)
    if found.get("LastUpdateStatus") == "Failed":
        reason = found.get("LastUpdateStatusReason") or found.get("LastUpdateStatusReasonCode", "no reason")
        raise AwsError(f"the function could not take its layers: {reason}", where=where)
    layers = tuple(layer["Arn"] for layer in found.get("Layers", ()))
    if layers != attachment.after:
        what = f"the function has other layers than were set: {', '.join(layers) or 'none'}"
        raise AwsError(what, where=where, fix="somebody changed it at the same time; run this again")
