"""A file inside an archive."""

from __future__ import annotations

from msgspec import Struct


class Member(Struct, frozen=True, kw_only=True):
    """One file in an archive; sizes in bytes, `offset` that of its first data byte.

    `mode` are the permissions it is unpacked with, `stamp` its date and time as MS-DOS packed them,
    `dated` says that there is a date to the second beside these, `link` that the content is a path that the
    file stands for; only an archive that is opened with its links has such.
    """

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    executable: bool
    mode: int = 0o644
    stamp: int = 0
    dated: bool = False
    link: bool = False
