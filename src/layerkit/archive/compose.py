"""Zips, composed by raw copy of runs or written from new bytes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layerkit.archive.run import Piece, Run

_NOTHING: Mapping[int, frozenset[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A finished zip: its size and the sum of its members' content in bytes, its sha256 in hex."""

    size: int
    sha256: str
    unzipped: int
    entries: int


def compose(out: Path, runs: Sequence[Run], *, skip: Mapping[int, frozenset[str]] = _NOTHING) -> Composed:
    """Write the zip that holds `runs` in the order given to `out`, which the caller publishes.

    `skip` names, per index into `runs`, the members to leave out. Raises WheelError when two runs
    hold one name (also after case folding), or a run file is not what its tail says.
    """
    raise NotImplementedError


def write_zip(out: Path, pieces: Iterable[Piece]) -> Composed:
    """Write a zip of `pieces`, in name order, in the same canonical form as `compose`."""
    raise NotImplementedError
