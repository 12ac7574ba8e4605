"""The JSON Schemas (draft 2020-12) of everything that layerkit writes as JSON.

`manifest` is the file beside the zips; the others are what commands print with `--json`, and `error` what
any of them prints instead. The `schema` of a document, such as `layerkit/plan/1`, names its schema and
the version of it: the number goes up when a reader of the older form would be misled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the schemas, in order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def schema(name: str) -> dict[str, Any]:
    """Return one schema. Raises KeyError for a name that is not among `names()`."""
    if name not in names():
        raise KeyError(name)
    loaded: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded
