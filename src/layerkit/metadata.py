"""What METADATA says of a wheel, and which of its requirements count on a target.

The names are those of the core metadata specification. Real files are untidy: only Name, Version
and Requires-Dist are taken at their word, everything else is read as well as it can be, and what
had to be bent is written in `notes`. `Dependency` is also what a lock holds, so this module
imports nothing that a warm build would have to pay for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message

    from packaging.markers import Marker
    from packaging.requirements import Requirement

    from layerkit.target import Target

_LONGEST_LICENCE = 120
_CREDENTIALS = re.compile(r"//[^/@\s]*@")

# Specifiers that older tools wrote and newer ones refuse. uv and pip's index still serve wheels
# with them, so they are mended the way uv mends them, one after the other, and said aloud.
_MENDINGS = (
    ("a wildcard after an ordering operator", re.compile(r"([<>]=?|~=)\s*([^\s,;()]*?)\.\*"), r"\1\2"),
    ("a wildcard without its dot", re.compile(r"([=!]=\s*\d[\d.]*)(?<!\.)\*"), r"\1.*"),
    ("a missing comma", re.compile(r"([<>=~!]=?\s*\d[\w.*+!-]*)\s*(?=[<>=~!])"), r"\1,"),
    ("a comma too many", re.compile(r",\s*(?=,|\)|$)"), ""),
    ("a version called dev", re.compile(r">=?\s*dev\b"), ">=0.dev0"),
    ("quotes around a version", re.compile(r"([<>=~!]=?\s*)['\"]([^'\"]*)['\"]"), r"\1\2"),
)


class Dependency(Struct, frozen=True, kw_only=True):
    """One requirement of a package that counts on a target.

    `name` and `extras` are canonical names, `specifier` is a PEP 440 specifier set (empty: any
    version). `extra` is empty for what the package always needs, else the extra of the package
    that brings the requirement.
    """

    name: str
    specifier: str = ""
    extras: tuple[str, ...] = ()
    extra: str = ""


class Metadata(Struct, frozen=True, kw_only=True):
    """The fields of METADATA that layerkit works with.

    `name` and `version` stand as written and are empty where they are missing. `requires` holds
    PEP 508 requirements with old spellings mended, `notes` what was mended or had to be guessed.
    """

    name: str
    version: str
    requires_python: str | None = None
    requires: tuple[str, ...] = ()
    provides_extras: tuple[str, ...] = ()
    licence: str | None = None
    licence_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse(content: bytes) -> Metadata:
    """Read the bytes of METADATA. Never fails: what cannot be read is missing or noted."""
    from email.parser import HeaderParser

    from packaging.utils import canonicalize_name

    notes: list[str] = []
    message = HeaderParser().parsestr(_decode(content, notes))
    extras = dict.fromkeys(canonicalize_name(extra) for extra in _all(message, "Provides-Extra"))
    return Metadata(
        name=_only(message, "Name"),
        version=_only(message, "Version"),
        requires_python=_only(message, "Requires-Python") or None,
        requires=tuple(_mended(text, notes) for text in _all(message, "Requires-Dist")),
        provides_extras=tuple(extras),
        licence=_licence(message),
        licence_files=tuple(_all(message, "License-File")),
        notes=tuple(notes),
    )


def dependencies(metadata: Metadata, target: Target) -> tuple[Dependency, ...]:
    """Return what the wheel requires on the target, sorted: first of itself, then by its extras.

    An extra brings what its marker admits with `extra` set to it and not without. An extra that
    the wheel uses in a marker and never declares counts as declared, as it does for uv.
    Raises WheelError for a requirement that cannot be read.
    """
    environment = target.markers()
    found: set[Dependency] = set()
    for text in metadata.requires:
        requirement = requirement_of(text)
        for extra in _brought_by(requirement.marker, metadata.provides_extras, environment):
            found.add(_dependency(requirement, extra))
    return tuple(sorted(found, key=lambda each: (each.extra, each.name, each.specifier, each.extras)))


def unreadable(metadata: Metadata) -> Iterator[str]:
    """Yield what is wrong with each requirement that nobody can read, not even mended."""
    for text in metadata.requires:
        try:
            requirement_of(text)
        except WheelError as error:  # noqa: PERF203 - rare, and all of them are wanted
            yield error.what


def requirement_of(text: str) -> Requirement:
    """Return a requirement as packaging reads it. Raises WheelError, naming the requirement."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        shown = _CREDENTIALS.sub("//", text)
        raise WheelError(f"the requirement {shown!r} cannot be read: {reason}", where="METADATA") from None


def _dependency(requirement: Requirement, extra: str) -> Dependency:
    from packaging.utils import canonicalize_name

    return Dependency(
        name=canonicalize_name(requirement.name),
        specifier=str(requirement.specifier),
        extras=tuple(sorted(canonicalize_name(each) for each in requirement.extras)),
        extra=extra,
    )


def _brought_by(
    marker: Marker | None, declared: tuple[str, ...], environment: Mapping[str, str]
) -> Iterator[str]:
    """Yield "" where a requirement always counts, else each extra that brings it."""
    if marker is None or _holds(marker, environment, ""):
        yield ""
        return
    for extra in _extras_to_try(str(marker), declared):
        if _holds(marker, environment, extra):
            yield extra


def _extras_to_try(marker: str, declared: tuple[str, ...]) -> Iterator[str]:
    """Yield the extras on which the marker can depend.

    Packages with hundreds of extras exist. A marker that compares `extra` for equality alone is
    the same for every extra that it does not name as it is without any.
    """
    from packaging.utils import canonicalize_name

    named = re.findall(r'\bextra [=!]= "([^"]+)"|"([^"]+)" [=!]= extra\b', marker)
    tried: dict[str, None] = {canonicalize_name(left or right): None for left, right in named}
    mentions = len(re.findall(r"\bextra\b", re.sub(r'"[^"]*"', "", marker)))
    if mentions > len(named):
        tried |= dict.fromkeys(declared)
    yield from tried


def _holds(marker: Marker, environment: Mapping[str, str], extra: str) -> bool:
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    try:
        return marker.evaluate({**environment, "extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise WheelError(f"the marker {str(marker)!r} has no answer: {error}", where="METADATA") from None


def _decode(content: bytes, notes: list[str]) -> str:
    """Return the text, by Latin-1 where it is not the UTF-8 that the specification asks for."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append("METADATA is not valid UTF-8; read as Latin-1")
        return content.decode("latin-1")


def _all(message: Message, field: str) -> Iterator[str]:
    """Yield the values of a field, on one line each, without the empty ones."""
    for value in message.get_all(field, []):
        if text := " ".join(str(value).split()):
            yield text


def _only(message: Message, field: str) -> str:
    """Return the value of a field. Different values stay visible, so that they match nothing."""
    return " / ".join(dict.fromkeys(_all(message, field)))


def _mended(text: str, notes: list[str]) -> str:
    """Return a requirement that packaging can read, or the text as it is if there is none."""
    from packaging.requirements import InvalidRequirement, Requirement

    specifier, semicolon, marker = text.partition(";")
    mended, what = text, list[str]()
    for name, pattern, replacement in (("", None, ""), *_MENDINGS):
        if pattern is not None and (changed := pattern.sub(replacement, specifier)) != specifier:
            specifier, mended = changed, changed + semicolon + marker
            what.append(name)
        try:
            Requirement(mended)
        except InvalidRequirement:
            continue
        if what:
            note = f"the requirement {text!r} has {', '.join(what)}; read as {mended!r}"
            notes.append(_CREDENTIALS.sub("//", note))
        return mended
    return text


def _licence(message: Message) -> str | None:
    """Return the SPDX expression, else a short License field, else the Trove classifiers."""
    expression = _only(message, "License-Expression")
    raw = str(message.get("License", "")).strip()
    short = "" if raw.upper() in {"UNKNOWN", "NONE"} or "\n" in raw or len(raw) > _LONGEST_LICENCE else raw
    classified = [each for each in _all(message, "Classifier") if each.startswith("License :: ")]
    from_classifiers = ", ".join(each.rpartition(" :: ")[2] for each in classified)
    first_line = raw.partition("\n")[0].strip()[:_LONGEST_LICENCE]
    return (
        expression or short or from_classifiers or (None if raw.upper() == "UNKNOWN" else first_line) or None
    )
