"""What is published of a project, and which functions use it: every version of them, and their aliases."""

from __future__ import annotations

import base64
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.publish.versions import get_version, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerkit.publish.names import NameForm
    from layerkit.publish.places import Place


class Listed(Struct, frozen=True, kw_only=True):
    """A published version of one of the project's layers; `size` is the zip's in bytes, `sha256` hex.

    `series` is what it has in common with the same layer of other releases. `used_by` are the versions of
    functions that use it, such as `api:3 (prod)`, with the aliases that point at them.
    """

    account: str
    region: str
    name: str
    series: str
    version: int
    arn: str
    created: str
    size: int
    sha256: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    used_by: tuple[str, ...]


def listed(places: Iterable[Place], form: NameForm) -> tuple[Listed, ...]:
    """Return the published versions of the project's layers, the newest first within their series."""
    found = [one for place in places for one in _at(place, form)]
    found.sort(key=lambda one: (one.created, one.version), reverse=True)
    found.sort(key=lambda one: (one.account, one.region, one.series))
    return tuple(found)


def _at(place: Place, form: NameForm) -> Iterator[Listed]:
    """Yield what is published at one place."""
    names = _layer_names(place)
    mine = {name: series for name in names if (series := form.series(name)) is not None}
    if not mine:
        return
    users = _users(place, mine)
    for name, series in mine.items():
        for item in versions(place, name):
            version = get_version(place, name, item.number)
            if version is None:
                continue  # deleted while it was listed
            yield Listed(
                account=place.account,
                region=place.region,
                name=name,
                series=series,
                version=version.number,
                arn=version.arn,
                created=version.created,
                size=version.size,
                sha256=base64.b64decode(version.code_sha256).hex(),
                runtimes=version.runtimes,
                architectures=version.architectures,
                used_by=tuple(users.get(version.arn, ())),
            )


def _layer_names(place: Place) -> list[str]:
    """Return the names of all layers at a place."""
    items = place.calls.pages("lambda:ListLayers", place.functions.list_layers, "Layers")
    return [item["LayerName"] for item in items]


def _users(place: Place, names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, by the ARN of a layer's version, the function versions that use it.

    A list of functions with all their versions is all that it takes; aliases are asked for only where a
    function has one of these layers.
    """
    request = partial(place.functions.list_functions, FunctionVersion="ALL")
    users: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for item in place.calls.pages("lambda:ListFunctions", request, "Functions"):
        for layer in item.get("Layers", ()):
            if layer["Arn"].split(":")[6] in names:
                users[layer["Arn"]].append((item["FunctionName"], item["Version"]))
    functions = sorted({function for uses in users.values() for function, _ in uses})
    aliases = {function: _aliases(place, function) for function in functions}
    return {
        arn: sorted(
            _shown(function, version, aliases[function].get(version, ())) for function, version in uses
        )
        for arn, uses in users.items()
    }


def _aliases(place: Place, function: str) -> dict[str, list[str]]:
    """Return the aliases of a function by the versions that they point at, in part or in whole."""
    found: dict[str, list[str]] = defaultdict(list)
    request = partial(place.functions.list_aliases, FunctionName=function)
    where = f"{place.key} function {function}"
    for alias in place.calls.pages("lambda:ListAliases", request, "Aliases", where=where):
        weighted: Mapping[str, Any] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        for version in (alias["FunctionVersion"], *weighted):
            found[version].append(alias["Name"])
    return found


def _shown(function: str, version: str, aliases: Sequence[str]) -> str:
    """Return a version of a function as it is shown."""
    return f"{function}:{version}" + (f" ({', '.join(sorted(aliases))})" if aliases else "")
