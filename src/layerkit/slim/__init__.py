"""What is left out of a wheel: the table's rows, the project's own, and what has to stay all the same.

Pure: paths and rules in, names of rows out. A path is as `seen` gives it: relative to the folder of the
modules for what lies there (`numpy/core/tests/x.py`), else from the root of the layer as Lambda mounts it
(`opt/bin/f2py`), so that a row needs no thought of runtimes and layouts.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import ConfigError
from layerkit.patterns import parse
from layerkit.project.faults import nearest
from layerkit.slim.table import Row, table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from layerkit.project.specs import Slimming

__all__ = ["SERVICES", "Rules", "decide", "rules", "seen"]

# The row that cuts botocore/data and boto3/data, which has no patterns: it keeps what is named.
SERVICES = "aws-services"
_SERVICES = Row(name=SERVICES, patterns=(), reason="the project says which services it uses", own=True)
_SDK = ("boto3", "botocore")


class Rules(Struct, frozen=True, kw_only=True):
    """What a project leaves out: rows in the order they are tried, its own first, and what stays.

    `keep` is (canonical name of a package, patterns); `services` are the AWS services whose description
    stays in the SDK, None where all of them do.
    """

    rows: tuple[Row, ...] = ()
    keep: tuple[tuple[str, tuple[str, ...]], ...] = ()
    services: tuple[str, ...] | None = None

    def digest(self, package: str) -> str:
        """Return the digest, in hex, of all that decides what is left out of a package."""
        rows = [(row.name, row.patterns, row.own, row.beside, row.unless, row.named) for row in self.rows]
        said = [rows, self._kept(package), self.services if package in _SDK else None]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def verdict(self, package: str, path: str) -> Row | None:
        """Return the row that fits a file, None where it stays; its neighbours and imports are not asked.

        What a wheel says of itself, licences and bills of materials included, always stays.
        """
        if path.partition("/")[0].endswith(".dist-info") or _fits(self._kept(package), path):
            return None
        if self.services is not None and package in _SDK and _service(path) not in (None, *self.services):
            return _SERVICES
        return next((row for row in self.rows if _fits(row.patterns, path)), None)

    def _kept(self, package: str) -> tuple[str, ...]:
        """Return the patterns of what stays of a package."""
        return tuple(text for name, patterns in self.keep if name == package for text in patterns)


@cache
def rules(slim: Slimming, services: tuple[str, ...] | None) -> Rules:
    """Return the rules of a project; ConfigError for a row that is switched and not in the table."""
    if not slim.enabled:
        return Rules(services=services)
    known = {row.name: row for row in table().rows}
    for name, _ in slim.switched:
        if name not in known:
            raise ConfigError(
                f"there is no row {name!r} to switch{nearest(name, known)}",
                where=f"tool.layerkit.slim.rows.{name}",
                fix=f"rows: {', '.join(known)}; a row of your own is a list of patterns",
            )
    switched = dict(slim.switched)
    own = tuple(Row(name=name, patterns=patterns, reason="", own=True) for name, patterns in slim.rows)
    rows = tuple(row for row in table().rows if switched.get(row.name, not row.asked))
    keep = tuple((kept.package, kept.patterns) for kept in table().keep)
    return Rules(rows=(*own, *rows), keep=(*keep, *slim.keep), services=services)


def seen(path: str, site: str) -> str:
    """Return a path of the layer as the rules have it; `site` is the folder of the modules."""
    inside = path.removeprefix(f"{site}/")
    return inside if inside != path else f"opt/{path}"


def decide(
    rules: Rules, package: str, site: str, paths: Collection[str], read: Callable[[str], bytes]
) -> dict[str, str]:
    """Return, of the files of a wheel, which are left out and by which row.

    `paths` are those of the layer, commands to be written among them; `read` gives the content of one of
    them. What the table leaves out stays after all where a module that stays imports it. Raises
    ConfigError for an AWS service that the package does not know.
    """
    from layerkit.slim.reach import in_use, named

    places = {seen(path, site): path for path in paths}
    if rules.services is not None and package == "botocore":
        _prove_services(rules.services, places)
    content = cache(lambda place: read(places[place]))
    verdicts = {
        place: row
        for place in places
        if (row := rules.verdict(package, place)) and _alone(place, row, places, content)
    }
    modules = [place for place, path in places.items() if path.startswith(f"{site}/")]
    dropped = {place for place in modules if place in verdicts and not verdicts[place].own}
    kept = [place for place in modules if place not in verdicts]
    used = in_use(kept, dropped, content)
    used |= named(kept, [place for place in dropped if verdicts[place].named], content)
    return {places[place]: row.name for place, row in verdicts.items() if place not in used}


def _alone(place: str, row: Row, places: Collection[str], content: Callable[[str], bytes]) -> bool:
    """Say whether the neighbours of a file let it go."""
    stem = place.rpartition(".")[0]
    if row.beside is not None and stem + row.beside not in places:
        return False
    module = f"{stem}.py"
    return row.unless is None or module not in places or row.unless.encode() not in content(module)


def _fits(patterns: tuple[str, ...], path: str) -> bool:
    """Say what the last pattern that fits a path, or a folder it is in, says of it."""
    if not _expression(patterns).fullmatch(path):
        return False
    last = next(text for text in reversed(patterns) if _expression((text,)).fullmatch(path))
    return not last.startswith("!")


@cache
def _expression(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what fits every path that a pattern fits, and every path in a folder that one fits."""
    parts = []
    for pattern in map(parse, patterns):
        inside = "/.+" if pattern.folders_only else "(?:/.+)?"
        parts.append(f"(?:{pattern.expression.pattern}){inside}")
    return re.compile("|".join(parts) or "(?!)", re.DOTALL)


def _service(path: str) -> str | None:
    """Return the AWS service that a file of the SDK describes, None where it serves all of them."""
    parts = path.split("/")
    found = len(parts) > 3 and parts[0] in _SDK and parts[1] == "data"  # noqa: PLR2004 - sdk/data/service/file
    return parts[2] if found else None


def _prove_services(services: tuple[str, ...], places: Collection[str]) -> None:
    """Raise ConfigError for services that botocore has no description of."""
    known = {name for name in map(_service, places) if name}
    if unknown := [f"{name!r}{nearest(name, known)}" for name in services if name not in known]:
        raise ConfigError(
            f"botocore knows no service {', nor '.join(unknown)}",
            where="tool.layerkit.aws-services",
            fix="write each as boto3.client() takes it",
        )
