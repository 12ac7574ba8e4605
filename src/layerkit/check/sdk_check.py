"""The AWS SDK of a stack, whole or half, and pairs of packages that are known not to work together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.check.findings import Finding, finding
from layerkit.check.version_set import admits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerkit.check.requirements_check import Installed
    from layerkit.check.search_path import Place
    from layerkit.target import Target

_CORE = ("boto3", "botocore", "s3transfer")
# What botocore reads before it does anything else.
_DATA = "botocore/data/sdk-default-configuration.json"
_DATA_SINCE = ">=1.23"


class BadPair(Struct, frozen=True, kw_only=True):
    """Two packages whose metadata may allow each other and which fail together; `pythons` limits it."""

    one: str
    versions: str
    other: str
    others: str
    why: str
    source: str
    pythons: str = ""


BAD_PAIRS = (
    BadPair(
        one="urllib3",
        versions=">=2",
        other="botocore",
        others="<1.29.123",
        why="that botocore imports names that urllib3 2 no longer has (DEFAULT_CIPHERS)",
        source="boto/botocore#2921 and #2922, aws/aws-lambda-base-images#118",
    ),
    BadPair(
        one="urllib3",
        versions=">=2",
        other="botocore",
        others=">=0",
        pythons="<3.10",
        why="botocore takes urllib3 2 on Python 3.10 and newer only, and the runtime's OpenSSL is 1.0.2",
        source="botocore METADATA; urllib3/urllib3#2168",
    ),
    BadPair(
        one="urllib3",
        versions=">=2",
        other="requests-toolbelt",
        others="<1",
        why="that requests-toolbelt imports urllib3.contrib.appengine, which urllib3 2 no longer has",
        source="requests-toolbelt HISTORY 1.0.0",
    ),
    BadPair(
        one="numpy",
        versions=">=2",
        other="pandas",
        others="<2.2.2",
        why="that pandas was compiled against numpy 1 (numpy.dtype size changed)",
        source="pandas release notes 2.2.2",
    ),
    BadPair(
        one="werkzeug",
        versions=">=3",
        other="flask",
        others="<2.3",
        why="that flask imports werkzeug.urls.url_quote, which werkzeug 3 no longer has",
        source="Werkzeug CHANGES 3.0.0",
    ),
    BadPair(
        one="markupsafe",
        versions=">=2.1",
        other="jinja2",
        others="<3",
        why="that jinja2 imports markupsafe.soft_unicode, which markupsafe 2.1 no longer has",
        source="MarkupSafe CHANGES 2.1.0",
    ),
)


def check_sdk(places: Sequence[Place], installed: Sequence[Installed], target: Target) -> Iterator[Finding]:
    """Yield what is left of an SDK that somebody removed by half."""
    zips = {name: _of(name, places) for name in _CORE}
    shipped = [name for name in _CORE if zips[name]]
    recorded = {one.name: one for one in installed if one.name in _CORE}
    gone = [name for name in recorded if name not in shipped]
    for name in gone:
        text = f"the metadata of {recorded[name]} is there, and its modules are not"
        yield finding("sdk-half", recorded[name].layer, text, "remove the whole package, or none of it")
    missing = [name for name in _CORE if name not in shipped]
    if shipped and missing:
        where = ", ".join(dict.fromkeys(zips[name] for name in shipped))
        text = (
            f"{' and '.join(shipped)} in the stack, {' and '.join(missing)} from the {target.runtime} runtime"
            ", in whatever version it has that day"
        )
        code = "sdk-half" if "boto3" in shipped else "sdk-mixed"
        yield finding(code, where, text, "ship boto3, botocore and s3transfer together, or none of them")
    version = recorded["botocore"].version if "botocore" in recorded else None
    if zips["botocore"] and version and _in(version, _DATA_SINCE) and not _has(_DATA, places):
        text = f"botocore {version} has no {_DATA.removeprefix('botocore/')}: no client can be made"
        yield finding("sdk-half", zips["botocore"], text, "keep botocore/data but for services nobody uses")


def check_pairs(
    installed: Sequence[Installed], runtime: Iterable[Installed], target: Target
) -> Iterator[Finding]:
    """Yield the pairs that fail together, where at least one of the two is in the stack."""
    own = {one.name: one for one in installed}
    every: Mapping[str, Installed] = {one.name: one for one in runtime} | own
    for pair in BAD_PAIRS:
        one, other = every.get(pair.one), every.get(pair.other)
        if one is None or other is None or not {pair.one, pair.other} & own.keys():
            continue
        if pair.pythons and not _in(target.minor, pair.pythons):
            continue
        if _in(one.version, pair.versions) and (pair.others == ">=0" or _in(other.version, pair.others)):
            text = f"{one} (in {one.layer}) and {other} (in {other.layer}) do not work together: {pair.why}"
            fix = f"take another {pair.one} or {pair.other} ({pair.source})"
            yield finding("known-bad-pair", ", ".join(dict.fromkeys((one.layer, other.layer))), text, fix)


def _in(version: str | None, specifier: str) -> bool:
    """Tell whether a version is known and inside a specifier set."""
    try:
        return version is not None and admits(specifier, version)
    except ValueError:
        return False


def _of(package: str, places: Iterable[Place]) -> str:
    """Return the zip that has a package's modules, "" where none has."""
    for place in places:
        for init in ("__init__.py", "__init__.pyc"):
            if file := place.files.get(f"{package}/{init}"):
                return file.zip
    return ""


def _has(path: str, places: Iterable[Place]) -> bool:
    return any(path in place.files or f"{path}.gz" in place.files for place in places)
