"""Was what lies in a zip made for the target's Python? Wheel tags and names of extension modules."""

from __future__ import annotations

import re
from collections import defaultdict
from email.parser import BytesParser
from typing import TYPE_CHECKING

from layerkit.check.findings import Finding, finding
from layerkit.check.words import some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.target import Target

_WHEEL = re.compile(r"(?:.*/)?([^/]+)\.dist-info/WHEEL")
# The tag between a module's name and its ending: that of an interpreter, or of the stable ABI.
_EXTENSION = re.compile(r"(.*/)?([^/.]+)\.((?:cpython|cp|pypy|graalpy|abi3)[^/.]*)\.(so|pyd)")
_LAST_WITH_M = 7


def check_tags(zip_: str, texts: Mapping[str, bytes], target: Target) -> Iterator[Finding]:
    """Yield the packages none of whose wheel's tags fits the target."""
    from packaging.tags import parse_tag

    accepted = frozenset(target.tags())
    for name, content in texts.items():
        match = _WHEEL.fullmatch(name)
        if match is None:
            continue
        said = BytesParser().parsebytes(content, headersonly=True).get_all("Tag", [])
        try:
            tags = [str(tag) for line in said for tag in parse_tag(str(line).strip())]
        except ValueError:
            continue
        if tags and accepted.isdisjoint(tags):
            package = match[1].replace("-", " ", 1)
            text = f"{package} is of a wheel for {some(tags)}, which {target.key} does not take"
            fix = f"install it for the target, such as {target.tags()[0]}"
            yield finding("wheel-tags", f"{zip_}: {name}", text, fix)


def check_suffixes(zip_: str, names: Sequence[str], target: Target) -> Iterator[Finding]:
    """Yield the extension modules that the target's Python would not find by their names."""
    there = frozenset(names)
    fitting = _suffixes(target)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        match = _EXTENSION.fullmatch(name)
        if match is None or (tag := f".{match[3]}.{match[4]}") in fitting:
            continue
        if not any(f"{match[1] or ''}{match[2]}{one}" in there for one in fitting):
            groups[tag].append(name)
    for tag, found in sorted(groups.items()):
        text = f"Python {target.minor} on {target.arch} never imports extension modules that end in {tag}:"
        fix = f"install for {target.runtime} on {target.arch}"
        yield finding("extension-suffix", zip_, f"{text} {some(found)}", fix)


def _suffixes(target: Target) -> tuple[str, ...]:
    """Return the endings of extension modules that the target's interpreter knows (PEP 3149)."""
    _, minor = target.minor.split(".")
    flag = "m" if int(minor) <= _LAST_WITH_M else ""
    tag = f"cpython-3{minor}{flag}-{target.machine}-linux-gnu"
    return (f".{tag}.so", ".abi3.so", ".so")
