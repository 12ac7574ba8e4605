"""Two layers, or two builds, held side by side: what came, what went, what changed, and the bytes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from layerkit.publish.contents import Contents, Held

Kind = Literal["added", "removed", "changed", "moved", "resized"]
_ORDER: tuple[Kind, ...] = ("added", "removed", "changed", "moved", "resized")


class Side(Struct, frozen=True, kw_only=True):
    """A package on one side; sizes in bytes."""

    version: str
    zipped: int
    unzipped: int
    layers: tuple[str, ...]


class Change(Struct, frozen=True, kw_only=True):
    """A package that is not the same on both sides; `resized` has one version and other files."""

    package: str
    kind: str
    before: Side | None
    after: Side | None

    @property
    def bytes(self) -> int:
        """Return how many bytes more the other side unzips to."""
        return (self.after.unzipped if self.after else 0) - (self.before.unzipped if self.before else 0)


class Total(Struct, frozen=True, kw_only=True):
    """The sums of one side in bytes; `other` is what belongs to no package."""

    source: str
    packages: int
    zipped: int
    unzipped: int
    other: int


class Diff(Struct, frozen=True, kw_only=True):
    """All that is different."""

    before: Total
    after: Total
    changes: tuple[Change, ...]


def diff(before: Contents, after: Contents) -> Diff:
    """Compare two contents; changes come by kind, then by name."""
    names = sorted(before.packages.keys() | after.packages.keys())
    # A zip does not say which layer it is, so only two manifests can tell that a package moved.
    found = (_change(name, before.packages.get(name), after.packages.get(name)) for name in names)
    changes = sorted((one for one in found if one), key=lambda one: _ORDER.index(one.kind))
    return Diff(before=_total(before), after=_total(after), changes=tuple(changes))


def _change(name: str, before: Held | None, after: Held | None) -> Change | None:
    kind: Kind
    if before is None or after is None:
        kind = "added" if before is None else "removed"
    elif before.version != after.version:
        kind = "changed"
    elif before.layers and after.layers and before.layers != after.layers:
        kind = "moved"
    elif before.unzipped != after.unzipped:
        kind = "resized"
    else:
        return None
    return Change(package=name, kind=kind, before=_side(before), after=_side(after))


def _side(held: Held | None) -> Side | None:
    if held is None:
        return None
    return Side(version=held.version, zipped=held.zipped, unzipped=held.unzipped, layers=held.layers)


def _total(one: Contents) -> Total:
    return Total(
        source=one.source,
        packages=len(one.packages),
        zipped=one.zipped,
        unzipped=one.unzipped,
        other=one.other,
    )
