"""Which names a member may have, and when two names are one."""

from __future__ import annotations


def fold(name: str) -> str:
    """Return the form in which names collide: canonical caseless matching (Unicode 3.13, D145).

    A file system that ignores case or normalises names lays both files at one path.
    """
    raise NotImplementedError
