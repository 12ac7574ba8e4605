"""The event: which packages, for which runtime, and what the layer is called.

    {"ModuleName": "scikit-learn", "CustomLayerName": "optional"}
    {"Requirements": ["pandas>=2", "pyarrow"], "Dependencies": true, "Runtime": "python3.13",
     "Architecture": "arm64", "CustomLayerName": "data"}

A name may carry a version (`scikit-learn==1.5.2`) and extras. What could mean a file, an address or an option
of a tool is refused before anybody is asked for it.
"""

from __future__ import annotations

import platform
import re
import sys
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from add_module.failures import NotFoundError
from layerkit.errors import UsageError
from layerkit.target import Target, facts, target

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("ModuleName", "Requirements", "CustomLayerName", "Dependencies", "Runtime", "Architecture")
_MOST = 50
_LONGEST = 200


class Request(Struct, frozen=True, kw_only=True):
    """What is asked for: requirements as written, the target, and the layer's name if it is given."""

    requirements: tuple[str, ...]
    names: tuple[str, ...]
    target: Target
    dependencies: bool
    layer: str | None


def read(event: Any) -> Request:
    """Return what an event asks for. Raises NotFoundError."""
    if not isinstance(event, dict):
        raise NotFoundError('the event is no object: {"ModuleName": "scikit-learn"}')
    for key in event:
        if key not in _KEYS:
            raise NotFoundError(f"the event has no key {str(key)[:40]!r}; known: {', '.join(_KEYS)}")
    found = [_requirement(text) for text in _texts(event)]
    return Request(
        requirements=tuple(str(one) for one in found),
        names=tuple(canonicalize_name(one.name) for one in found),
        target=_target(event),
        dependencies=_flag(event, "Dependencies"),
        layer=_layer(event.get("CustomLayerName")),
    )


def _texts(event: Mapping[str, Any]) -> list[str]:
    """Return the requirements of an event, each once."""
    module, more = event.get("ModuleName"), event.get("Requirements", [])
    if not isinstance(more, list) or not all(isinstance(one, str) for one in more):
        raise NotFoundError("Requirements is no list of names")
    texts = [*([] if module is None else [module]), *more]
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise NotFoundError("the event names no module: give ModuleName")
    if len(texts) > _MOST:
        raise NotFoundError(f"{len(texts)} requirements are more than the {_MOST} that one layer is made for")
    return list(dict.fromkeys(text.strip() for text in texts))


def _requirement(text: str) -> Requirement:
    """Return a name with its version and extras. Raises NotFoundError for anything else."""
    wrong = NotFoundError(f"{text[:80]!r} is no name of a module: give one such as scikit-learn==1.5.2")
    if len(text) > _LONGEST:
        raise wrong
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise wrong from None
    if found.url or found.marker:
        raise wrong
    return found


def _flag(event: Mapping[str, Any], key: str) -> bool:
    value = event.get(key, False)
    if not isinstance(value, bool):
        raise NotFoundError(f"{key} is true or false")
    return value


def _layer(name: Any) -> str | None:
    """Return the layer's name. Raises NotFoundError for one that Lambda refuses."""
    if name is None:
        return None
    pattern = facts()["limits"]["layer_name"]["value"]
    if not isinstance(name, str) or re.fullmatch(pattern, name) is None:
        raise NotFoundError(f"CustomLayerName is no name for a layer: Lambda takes {pattern}")
    return name


def _target(event: Mapping[str, Any]) -> Target:
    """Return the target; without a word it is what the function itself runs on."""
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    runtime, arch = event.get("Runtime", own), event.get("Architecture", platform.machine())
    if not isinstance(runtime, str) or not isinstance(arch, str):
        raise NotFoundError("Runtime and Architecture are texts such as python3.13 and arm64")
    try:
        return target(runtime, arch)
    except UsageError as error:
        raise NotFoundError(f"{error.what}; {error.fix}") from None


def default_name(request: Request, version: str) -> str:
    """Return the name of a layer that nobody gave one: `scikit-learn_0222post1_py38`.

    The architecture stands behind it where it is not x86_64, and whether there is more than the module.
    """
    digits = re.sub(r"[^0-9A-Za-z]", "", version)
    parts = [request.names[0], digits, request.target.short]
    others = len(set(request.names)) - 1
    parts += [f"and{others}more"] if others else []
    parts += ["deps"] if request.dependencies else []
    parts += [request.target.arch] if request.target.arch != "x86_64" else []
    return "_".join(parts)[:140]
