"""How frames are compressed: by zstd where the runtime can undo it, else by zlib."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Codec = Literal["zstd", "zlib"]

# 434 MB of libtorch_cpu.so: level 3 gives 100 MB in 0.6 s, 9 gives 90 MB in 2.8 s, 15 gives 89 MB in 31 s.
_LEVELS = {"zstd": 9, "zlib": 9}
# Larger frames compress better (1 MiB: 97 MB, 8 MiB: 91 MB) and are inflated by two threads at once without
# the threads waiting for one another; much larger ones would be too few to share out.
FRAME = 8 << 20


def level(codec: Codec) -> int:
    """Return how hard the compressor tries."""
    return _LEVELS[codec]


def compressor(codec: Codec) -> Callable[[bytes], bytes]:
    """Return what makes a frame, with a checksum over its content inside; safe to call from threads."""
    if codec == "zlib":
        return lambda data: zlib.compress(data, level(codec))
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: level(codec), parameter.checksum_flag: 1}

    def compress(data: bytes) -> bytes:
        frame: bytes = zstd.compress(data, options=options)
        return frame

    return compress


def _zstd() -> Any:
    """Return Python's own module of 3.14, or the package that brings it to earlier ones."""
    import importlib

    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
