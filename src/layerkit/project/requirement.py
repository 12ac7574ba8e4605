"""What a project asks for: requirements, and the pins that an existing lock gives.

Every reader of a project's files makes these two values. Reading a requirement here costs one
regular expression; whether all of it is well-formed is proved by `validate`, which costs an
import of `packaging` and is therefore left to the step that resolves.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from layerkit.errors import ConfigError
from layerkit.project.faults import redact

__all__ = [
    "Pin",
    "Requirement",
    "and_markers",
    "canonical",
    "direct",
    "is_name",
    "local",
    "parse",
    "path_of",
    "resolved",
    "split_marker",
    "well_formed",
]

# A name, extras and the rest: PEP 508 as far as a reader needs it.
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?P<rest>.*)",
    re.DOTALL,
)
_RANGE = re.compile(r"\(?\s*(?:(?:===|[~=!<>]=|[<>])\s*[\w.*+!-]+[\s,]*)*\)?\s*")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_RUNS = re.compile(r"[-_.]+")
_SHA256 = re.compile(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?:&|$)")
_VCS = re.compile(r"(?:git|hg|svn|bzr)\+|git@|git://|ssh://")
VCS_FIX = (
    "layerkit installs wheels and runs no version control: build a wheel of that commit "
    "(pip wheel --no-deps ADDRESS), keep it beside the project, and name it: package @ ./wheels/FILE.whl"
)
SOURCE_FIX = "layerkit takes wheels and local folders: name a file that ends in .whl, or unpack the archive"


class Requirement(Struct, frozen=True, kw_only=True):
    """One thing that the project asks for.

    `text` is PEP 508 as uv takes it, without hashes; `name` and `extras` are canonical. `origin`
    is the place a person finds it at, such as `requirements.txt:3` or
    `pyproject.toml: project.dependencies[2]`. `hashes` are the ones a requirements file allows,
    as `sha256:...`. `path` is a local wheel or a folder to be built into one; `text` then names
    it as `name @ file://...`, and `name` is what the file or the folder's own metadata says.
    A direct URL in `text` may hold credentials: show `redact(text)`.
    """

    text: str
    name: str
    extras: tuple[str, ...] = ()
    marker: str | None = None
    origin: str
    hashes: tuple[str, ...] = ()
    path: Path | None = None


class Pin(Struct, frozen=True, kw_only=True):
    """A version that an existing lock settled on, for the targets on which `marker` holds.

    The marker speaks of the environment alone, of no extra or group. Where a lock holds several
    versions of a package, the newest stands first among the pins, and the first one whose marker
    holds is meant. `hashes` are all the lock allows, as `sha256:...`, source archives included;
    empty where the lock has none. `attestations` are who attested to the files (PEP 751), as JSON.
    """

    name: str
    version: str
    marker: str | None = None
    hashes: frozenset[str] = frozenset()
    attestations: str = ""


def canonical(name: str) -> str:
    """Return the name as indexes compare it (PEP 503)."""
    return _RUNS.sub("-", name).lower()


def is_name(text: str) -> bool:
    """Say whether the text could be a package's, extra's or group's name and nothing more."""
    return _NAME.fullmatch(text) is not None


def and_markers(*markers: str | None) -> str | None:
    """Return the marker that holds where all of these do."""
    present = list(dict.fromkeys(marker for marker in markers if marker))
    if len(present) <= 1:
        return present[0] if present else None
    return " and ".join(f"({marker})" if " or " in marker else marker for marker in present)


def narrowed(requirement: Requirement, marker: str | None) -> Requirement:
    """Return the requirement for those targets only on which this marker holds as well."""
    if not marker:
        return requirement
    both = and_markers(requirement.marker, marker)
    head = requirement.text
    if requirement.marker:
        head = head[: head.rindex(requirement.marker)].rstrip().removesuffix(";")
    return replace(requirement, text=f"{head.rstrip()} ; {both}", marker=both)


def with_extras(requirement: Requirement, extras: tuple[str, ...]) -> Requirement:
    """Return the requirement with these extras as well as its own."""
    both = tuple(dict.fromkeys((*requirement.extras, *extras)))
    if both == requirement.extras:
        return requirement
    match = _REQUIREMENT.match(requirement.text)
    rest = match["rest"] if match else ""
    text = f"{requirement.name}[{','.join(both)}]{' ' if rest[:1] in {'@', ';', '('} else ''}{rest}"
    return replace(requirement, text=text, extras=both)


def parse(text: str, origin: str, base: Path, *, hashes: tuple[str, ...] = ()) -> Requirement:
    """Read a PEP 508 requirement; relative paths in it start from `base`.

    Raises ConfigError for what no wheel can come from (a repository, a source archive) and for
    what is visibly not a requirement. Versions and markers are not looked into; see `well_formed`.
    """
    match = _REQUIREMENT.match(text.strip())
    if match is None:
        raise ConfigError(_unreadable(text), where=origin)
    extras = _extras(match["extras"])
    rest = match["rest"]
    if rest.startswith("@"):
        address, marker = split_marker(rest[1:].strip())
        return direct(match["name"], address, origin, base, extras=extras, marker=marker, hashes=hashes)
    versions, semicolon, marker_text = rest.partition(";")
    marker = marker_text.strip() or None
    if _RANGE.fullmatch(versions) is None or (semicolon and marker is None):
        raise ConfigError(_unreadable(text), where=origin, fix=_hint(text))
    return Requirement(
        text=text.strip(),
        name=canonical(match["name"]),
        extras=extras,
        marker=marker,
        origin=origin,
        hashes=hashes,
    )


def split_marker(text: str) -> tuple[str, str | None]:
    """Part an address from its marker: in PEP 508 a space stands before the semicolon."""
    address, *marker = re.split(r"\s+;\s*", text, maxsplit=1)
    return address.strip(), marker[0].strip() if marker else None


def direct(
    name: str,
    address: str,
    origin: str,
    base: Path,
    *,
    extras: tuple[str, ...] = (),
    marker: str | None = None,
    hashes: tuple[str, ...] = (),
) -> Requirement:
    """Read a requirement that names the place of its file: a path, a file: or an http(s) address."""
    if _VCS.match(address):
        raise ConfigError(
            f"{redact(address)!r} is a version control address", where=origin, fix=VCS_FIX
        ) from None
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"}:
        path = path_of(address, base)
        return local(name, path, origin, extras=extras, marker=marker, hashes=hashes)
    if not parts.path.endswith(".whl"):
        raise ConfigError(f"{redact(address)!r} is not a wheel", where=origin, fix=SOURCE_FIX)
    found = _SHA256.search(parts.fragment)
    return Requirement(
        text=_text(name, extras, parts._replace(fragment="").geturl(), marker),
        name=canonical(name),
        extras=extras,
        marker=marker,
        origin=origin,
        hashes=(*hashes, f"sha256:{found[1].lower()}") if found else hashes,
    )


def local(
    name: str,
    path: Path,
    origin: str,
    *,
    extras: tuple[str, ...] = (),
    marker: str | None = None,
    hashes: tuple[str, ...] = (),
) -> Requirement:
    """Return the requirement of a wheel or a folder on this machine; ConfigError if it is neither."""
    if not path.exists():
        raise ConfigError(f"there is no file or folder {path}", where=origin)
    if path.is_file() and path.suffix != ".whl":
        raise ConfigError(f"{path.name!r} is not a wheel", where=origin, fix=SOURCE_FIX)
    return Requirement(
        text=_text(name, extras, path.as_uri(), marker),
        name=canonical(name),
        extras=extras,
        marker=marker,
        origin=origin,
        hashes=hashes,
        path=path,
    )


def path_of(address: str, base: Path) -> Path:
    """Return the absolute path that a path or a `file:` address means."""
    from urllib.parse import unquote, urlsplit

    # Hatch and PDM let a project write its own folder's address; both mean `base`.
    for own in ("{root:uri}", "file:///${PROJECT_ROOT}"):
        address = address.replace(own, base.as_uri())
    parts = urlsplit(address)
    plain = unquote(parts.path) if parts.scheme == "file" else address.split("#", 1)[0]
    return resolved(base / plain)


def resolved(path: Path) -> Path:
    """Return the path absolute and without `..`; links stay as the user made them."""
    import os.path

    return Path(os.path.normpath(path.absolute()))


def well_formed(requirement: Requirement) -> ConfigError | None:
    """Return the fault that makes a requirement unusable, or None. Imports `packaging`."""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    try:
        Parsed(requirement.text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        return ConfigError(f"{_unreadable(requirement.text)}: {reason}", where=requirement.origin)
    return None


def _extras(text: str | None) -> tuple[str, ...]:
    """Return the canonical names between the brackets, each once, in their order."""
    names = (canonical(name.strip()) for name in (text or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _text(name: str, extras: tuple[str, ...], address: str, marker: str | None) -> str:
    """Return a direct reference as PEP 508 writes it."""
    brackets = f"[{','.join(extras)}]" if extras else ""
    return f"{name}{brackets} @ {address}" + (f" ; {marker}" if marker else "")


def _unreadable(text: str) -> str:
    return f"{redact(text.strip())!r} is not a requirement"


def _hint(text: str) -> str | None:
    """Return what is usually meant by what is usually wrong."""
    if re.search(r"[\w\]]\s*=\s*[\w^~]", text):
        return "one version is written ==1.2.3, a range >=1.2,<2"
    if "^" in text:
        return "a caret range is Poetry's own: write >=1.2,<2"
    return None
