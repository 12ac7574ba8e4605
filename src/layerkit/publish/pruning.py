"""Old versions of a project's layers taken away: never one that a function uses, or others may use unseen.

The same layer of every release is one series, and the newest of a series stay. A version shared with other
accounts is left alone as well, for nobody can see who uses it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from layerkit.publish.grants import policy
from layerkit.publish.versions import delete_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerkit.publish.listing import Listed
    from layerkit.publish.places import Place

Fate = Literal["newest", "used", "shared", "to-delete", "deleted"]


class Pruned(Struct, frozen=True, kw_only=True):
    """A version and what becomes of it: kept as one of the newest, as used, as shared; or deleted."""

    one: Listed
    fate: Fate


def judged(found: Iterable[Listed], places: Sequence[Place], keep: int, *, shared: bool) -> list[Pruned]:
    """Say what is to become of each version; nothing is deleted.

    `found` is in the order of `listing.listed`. With `shared`, versions that others may use go too.
    """
    at = {(place.account, place.region): place for place in places}
    seen: dict[tuple[str, str, str], int] = {}
    judged = []
    for one in found:
        key = (one.account, one.region, one.series)
        seen[key] = seen.get(key, 0) + 1
        place = at[one.account, one.region]
        judged.append(Pruned(one=one, fate=_fate(one, place, shared=shared, newest=seen[key] <= keep)))
    return judged


def _fate(one: Listed, place: Place, *, shared: bool, newest: bool) -> Fate:
    if newest:
        return "newest"
    if one.used_by:
        return "used"
    if not shared and policy(place, one.name, one.version):
        return "shared"
    return "to-delete"


def delete(
    judged: Sequence[Pruned], places: Sequence[Place], done: Callable[[Pruned], object]
) -> list[Pruned]:
    """Delete what is to be deleted; `done` hears of each. An AwsError leaves those before it deleted."""
    at = {(place.account, place.region): place for place in places}
    after = []
    for each in judged:
        if each.fate == "to-delete":
            delete_version(at[each.one.account, each.one.region], each.one.name, each.one.version)
            each = replace(each, fate="deleted")  # noqa: PLW2901 - the same version, gone
            done(each)
        after.append(each)
    return after
