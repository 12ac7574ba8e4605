"""The extra fields of a header: which there are, and the two that may change what it says."""

from __future__ import annotations

from struct import unpack

from layerkit.archive.layout import EXTRA, EXTRA_UNICODE_PATH, EXTRA_ZIP64, MAX32

_UNICODE_PATH_HEAD = 5  # version and CRC of the name that it replaces


class ExtraError(Exception):
    """An extra field that cannot be trusted: the case and its sentence."""

    def __init__(self, case: str, text: str) -> None:
        """Keep both for the Problem that the reader makes of them."""
        super().__init__(text)
        self.case = case
        self.text = text


def fields(extra: bytes, name: bytes) -> dict[int, bytes]:
    """Return the fields by id; ExtraError where they overrun, repeat ZIP64, or rename the member."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        if at + EXTRA.size > len(extra):
            raise ExtraError("extra-damaged", "has an extra field that breaks off")
        kind, length = EXTRA.unpack_from(extra, at)
        at += EXTRA.size
        if at + length > len(extra):
            raise ExtraError("extra-damaged", "has an extra field that breaks off")
        if kind == EXTRA_ZIP64 and kind in found:
            raise ExtraError("zip64-dishonest", "has two ZIP64 fields")
        found[kind] = extra[at : at + length]
        if kind == EXTRA_UNICODE_PATH and found[kind][_UNICODE_PATH_HEAD:] != name:
            raise ExtraError("unicode-path-renames", "has an extra field that gives it another name")
        at += length
    return found


def widen(values: tuple[int, ...], zip64: bytes | None) -> tuple[int, ...]:
    """Replace each 32-bit value that is all ones by the next 64-bit one of the ZIP64 field (4.5.3).

    The field must hold exactly what is needed: readers that take more or less of it see another
    archive. Where nothing is needed it may repeat what the header says (Bazel writes wheels so,
    protobuf's among them), since every reader then sees the same.
    """
    full = values.count(MAX32)
    if zip64 is None and not full:
        return values
    count, odd = divmod(len(zip64 or b""), 8)
    if zip64 and not odd:
        wide = unpack(f"<{count}Q", zip64)
        if not full and wide == values[:count]:
            return values
        if full == count:
            needed = iter(wide)
            return tuple(next(needed) if value == MAX32 else value for value in values)
    raise ExtraError("zip64-dishonest", "has a ZIP64 field that does not fit its header")
