"""Decoders of frames: Python's own from 3.14 on, a wheel's in the layer before, zlib where there is none."""

from __future__ import annotations

import zlib
from contextlib import suppress

from .errors import BundleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Decode = Callable[[bytes, int], bytes]

_LARGEST = (32 << 20) - (64 << 10)
_ZSTD = ("compression.zstd", "backports.zstd", "pyzstd")  # one interface, each for other Pythons


def decoder(codec: str) -> Decode:
    """Return what inflates a frame to the size that it must have, and raises for any other."""
    _keep_pages()
    if codec == "zlib":
        return lambda data, size: _inflate(zlib.decompressobj(), data, size)
    import importlib

    for name in _ZSTD:
        with suppress(ImportError):
            module: Any = importlib.import_module(name)
            return lambda data, size: _inflate(module.ZstdDecompressor(), data, size)
    raise BundleError(f"there is no decoder for zstd: none of {', '.join(_ZSTD)} can be imported")


def _inflate(decompressor: Any, data: bytes, size: int) -> bytes:
    """Return the content of one frame; ValueError, or the decoder's own error, if it is not whole."""
    # With room for one byte more, the decoder reads on to the checksum.
    content: bytes = decompressor.decompress(data, size + 1)
    if len(content) != size or not decompressor.eof:
        raise ValueError(f"it does not hold {size} bytes")
    return content


def _keep_pages() -> None:
    """Let glibc use the memory of one frame for the next, which halves the time of them all.

    It gives blocks above its threshold back to the system, whose pages then come anew and one by one. The
    threshold becomes the size of the largest block that was freed (M_MMAP_THRESHOLD in mallopt(3)), up to
    32 MiB; this one is never touched, and costs nothing.
    """
    block = bytearray(_LARGEST)
    del block
