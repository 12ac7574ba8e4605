"""Reading TOML on every Python that layerkit runs on."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOMLDecodeError = tomllib.TOMLDecodeError


def parse(text: str) -> dict[str, Any]:
    """Return the document; raises TOMLDecodeError, a ValueError, with line and column."""
    return tomllib.loads(text)
