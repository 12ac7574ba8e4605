"""Names and descriptions of layers on Lambda, from templates; and ARNs, taken apart.

A template is text with words in braces. The default name is the zip's, dots as dashes, as the older
packing scripts had it; two architectures may not share a name, so arm64 has its own at the end.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.errors import UsageError
from layerkit.target import facts, limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = "{py}-{project}-{version}-{layer}"
NAME_ARM64 = NAME + "-arm64"
DESCRIPTION = "{project} {version} {layer} sha256:{sha256} manifest:{manifest} {packages}"
NAME_WORDS = ("py", "runtime", "project", "version", "layer", "arch")
DESCRIPTION_WORDS = (*NAME_WORDS, "sha256", "manifest", "packages", "unzipped")
_CUT = " ..."
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_ARN = re.compile(r"arn:(aws[a-z-]*):lambda:([a-z0-9-]+):(\d{12}):layer:([a-zA-Z0-9-_]{1,140})(?::(\d+))?")
# What a version looks like in a name, dots as dashes (PEP 440): it begins with a number, and goes on with
# numbers and the words that mark what is not final.
_VERSION = r"\d+(?:-\d+)*(?:-?(?:a|b|rc|post|dev)-?\d+)*"

_ANY_LAYER = "[a-zA-Z_][a-zA-Z0-9-_]*"


class LayerArn(Struct, frozen=True, kw_only=True):
    """The ARN of a layer, or with `version` of one version of it."""

    partition: str
    region: str
    account: str
    name: str
    version: int | None

    @classmethod
    def parse(cls, text: str) -> LayerArn | None:
        """Return the parts of an ARN; None where `text` is something else."""
        if (found := _ARN.fullmatch(text)) is None:
            return None
        partition, region, account, name, version = found.groups()
        number = int(version) if version else None
        return cls(partition=partition, region=region, account=account, name=name, version=number)


def check_template(template: str, words: Iterable[str], where: str) -> None:
    """Raise UsageError where a template has words that mean nothing, or braces that do not close."""
    known = tuple(words)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"the template cannot be read: {error}", where=where, fix=_words(known)) from None
    for _, word, form, conversion in parts:
        if word is not None and (word not in known or form or conversion):
            raise UsageError(f"the template has no word {{{word}}}", where=where, fix=_words(known))


def _words(known: Iterable[str]) -> str:
    return "known: " + ", ".join(f"{{{word}}}" for word in known)


def layer_name(template: str | None, words: Mapping[str, str]) -> str:
    """Return the name of a layer on Lambda. Raises UsageError for one that Lambda refuses.

    Without a template the name is the default for the architecture.
    """
    default = NAME_ARM64 if words["arch"] == "arm64" else NAME
    name = _dashed((template or default).format_map(words))
    pattern = facts()["limits"]["layer_name"]["value"]
    if re.fullmatch(pattern, name) is None:
        what = f"{name!r} is no name for Lambda, which takes {pattern}"
        raise UsageError(what, where=f"layer {words['layer']}", fix="give another template: --name-template")
    return name


def description(template: str | None, words: Mapping[str, str], packages: Iterable[str]) -> str:
    """Return the description of a version, at most as long as Lambda takes: packages are left out first.

    Raises UsageError where it is too long even without them.
    """
    text, most = template or DESCRIPTION, limit("layer_description")
    names, shown = list(packages), ""
    bare = text.format_map({**words, "packages": ""}).strip()
    if len(bare) > most:
        what = f"the description has {len(bare)} characters, Lambda takes {most}"
        raise UsageError(what, where=f"layer {words['layer']}", fix="give another template: --description")
    for count in range(len(names), -1, -1):
        shown = " ".join(names[:count]) + (_CUT if count < len(names) else "")
        filled = text.format_map({**words, "packages": shown}).strip()
        if len(filled) <= most:
            return filled
    return bare


def digest_in(text: str) -> str | None:
    """Return the sha256 that a description holds, in hex; None where it holds none or several."""
    found = set(_DIGEST.findall(text))
    return found.pop() if len(found) == 1 else None


class NameForm:
    """What the names of a project's layers look like, whatever their version and runtime.

    In a name nothing tells where a version ends and a layer begins, so the layers of today are looked for
    first; another one does not begin with a digit.
    """

    def __init__(self, template: str | None, project: str, version: str, layers: Iterable[str]) -> None:
        """Make the patterns that a name is matched with; the first that fits counts."""
        self._words = {
            "py": r"py3\d{1,2}",
            "runtime": r"python3-\d{1,2}",
            "project": re.escape(_dashed(project)),
            "version": f"{re.escape(_dashed(version))}|{_VERSION}",
            "arch": "x86_64|arm64",
        }
        known = "|".join(re.escape(_dashed(layer)) for layer in sorted(layers, key=len, reverse=True))
        templates = [template] if template else [NAME_ARM64, NAME]
        forms = [self._form(one, layer) for layer in (known, _ANY_LAYER) if layer for one in templates]
        self._forms = [re.compile(form) for form in forms]

    def _form(self, template: str, layer: str) -> str:
        """Return a template as a regular expression with a group for each of its words."""
        words, parts, seen = {**self._words, "layer": layer}, [], set[str]()
        for literal, word, _, _ in Formatter().parse(template):
            parts.append(re.escape(_dashed(literal)))
            if word is not None:
                parts.append(f"(?P={word})" if word in seen else f"(?P<{word}>{words[word]})")
                seen.add(word)
        return "".join(parts)

    def series(self, name: str) -> str | None:
        """Return the name with a star for its version: the same layer of every release has it in common.

        None for a name that is not one of the project's.
        """
        for form in self._forms:
            if found := form.fullmatch(name):
                if "version" not in found.groupdict():
                    return name
                start, end = found.span("version")
                return f"{name[:start]}*{name[end:]}"
        return None


def _dashed(text: str) -> str:
    return text.replace(".", "-")
