"""What was seen of a stack inside the runtime's image, judged: which of it is an error, and why.

An import that fails is an error, for a function that needs the module would fail on Lambda, with three
exceptions. A module that lacks another one which nothing in the stack requires, while other modules of
its package can be imported, is an optional part of that package. What lacks a package that is left out on
purpose was meant to. And the function's own code may look for what only Lambda has (variables,
credentials, the network): of that, only a missing module or library is an error.
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from layerkit.check.findings import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerkit.check.modules import Module
    from layerkit.check.requirements_check import Installed
    from layerkit.container.images import Image
    from layerkit.container.stage import Imported, Limits, Seen
    from layerkit.target import Target

_SAID = re.compile(
    r"(?P<name>[\w.-]+) (?P<version>\S+)"
    r"(?: requires (?P<missing>[\w.-]+), which is not installed"
    r"| has requirement (?P<wanted>.+), but you have (?P<have>[\w.-]+) \S+?"
    r"| is not supported on this platform)\.?"
)
# What the loader of shared libraries says, and the interpreter about a file that it cannot run.
_LOADER = re.compile(
    r"cannot open shared object|undefined symbol|version `[^']+' not found|invalid ELF|wrong ELF"
)
_OF_IMPORTS = frozenset({"ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError"})


class ImageLook(Struct, frozen=True, kw_only=True):
    """What a report says of the look inside: the image, what it is, the limits, each module."""

    image: str
    digest: str
    python: str
    glibc: str | None
    pip: str | None
    memory: int
    tmp: int
    modules: tuple[ModuleResult, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the shape that `check --json` prints."""
        shape: dict[str, Any] = to_builtins(self)
        return shape


class ModuleResult(Struct, frozen=True, kw_only=True):
    """One module: whose it is, where it lies, whether it can be imported, how long that took."""

    name: str
    package: str | None
    zip: str
    imported: bool
    seconds: float
    error: str | None


class Subject(Struct, frozen=True, kw_only=True):
    """The stack that was looked at, and what is known of it without the image.

    `absent` are the packages left out on purpose, `may_fail` the modules that need not import.
    """

    target: Target
    modules: Sequence[Module]
    packages: Sequence[Installed]
    absent: Mapping[str, str]
    may_fail: frozenset[str]
    limits: Limits


def look(image: Image, seen: Seen, subject: Subject) -> ImageLook:
    """Return what the report says of the look, every module in name order."""
    places = {one.name: one for one in subject.modules}
    return ImageLook(
        image=image.reference,
        digest=image.digest,
        python=seen.python,
        glibc=seen.glibc,
        pip=seen.pip,
        memory=subject.limits.memory,
        tmp=subject.limits.tmp,
        modules=tuple(
            ModuleResult(
                name=one.module,
                package=places[one.module].package,
                zip=places[one.module].zip,
                imported=one.ok,
                seconds=one.seconds,
                error=None if one.ok else reason(one, subject.limits),
            )
            for one in seen.imports
        ),
    )


def judge(image: Image, seen: Seen, subject: Subject) -> list[Finding]:
    """Return what is wrong with the stack inside the image."""
    found = [*_image(image, seen, subject.target)]
    if seen.path_error:
        text = f"a .pth file ends the interpreter before anything can be imported: {seen.path_error}"
        fix = "look for .pth files in the layers: Lambda runs them at every start"
        return [*found, finding("import-failed", "sys.path", text, fix)]
    found += _pip(seen, subject)
    places = {one.name: one for one in subject.modules}
    working = {places[one.module].package for one in seen.imports if one.ok} - {None}
    for one in seen.imports:
        if not one.ok:
            found.append(
                _import(one, places[one.module], subject, others_work=places[one.module].package in working)
            )
    return found


def _image(image: Image, seen: Seen, target: Target) -> Iterator[Finding]:
    """Yield in what the image is not the runtime that it stands for."""
    known = ".".join(map(str, target.glibc))
    fix = f"use the image that Lambda publishes for {target.runtime}"
    if seen.python.rpartition(".")[0] != target.minor:
        text = f"it has Python {seen.python}, and {target.runtime} has {target.minor}"
        yield finding("image-foreign", image.reference, text, fix)
    if seen.glibc != known:
        has = f"glibc {seen.glibc}" if seen.glibc else "no glibc"
        text = f"it has {has}, and {target.runtime} has {known}: what loads here may not load there"
        yield finding("image-differs", image.reference, text, fix)


def _pip(seen: Seen, subject: Subject) -> Iterator[Finding]:
    """Yield what `pip check` found. Its exit code says whether it found anything; its lines say what."""
    if seen.pip_code == 0:
        return
    ours = {one.name for one in subject.packages}
    lines = [line.strip() for line in seen.pip_said.splitlines() if line.strip()]
    said = [(line, match) for line in lines if (match := _SAID.fullmatch(line))]
    for line, match in said:
        yield _said(line, match, ours, subject)
    if not said:
        last = lines[-1] if lines else f"it ended with {seen.pip_code}"
        yield finding(
            "pip-check", "pip check", f"`pip check` could not do its work: {last}", "look at the image's pip"
        )


def _said(line: str, match: re.Match[str], ours: set[str], subject: Subject) -> Finding:
    """Return one line of `pip check` as a finding."""
    from packaging.utils import canonicalize_name

    name, other = canonicalize_name(match["name"]), match["missing"] or match["have"]
    text = f"`pip check`: {line}"
    if match["missing"] and (why := subject.absent.get(canonicalize_name(match["missing"]))):
        return finding(
            "deliberately-absent", name, f"{text} It is left out: {why}", "make sure that nothing imports it"
        )
    # What the runtime's packages are to each other is AWS's own matter.
    if name not in ours and (not other or canonicalize_name(other) not in ours):
        return finding("pip-check-runtime", name, text, "nothing to do: none of these packages is in a layer")
    return finding(
        "pip-check", name, text, "choose versions that fit each other, or add what is missing to a layer"
    )


def _import(one: Imported, module: Module, subject: Subject, *, others_work: bool) -> Finding:
    """Return the finding for a module that cannot be imported, as grave as it deserves."""
    where = f"{module.zip}: {module.package or module.name}"
    text = f"{one.module} cannot be imported: {reason(one, subject.limits)}"
    if one.module in subject.may_fail:
        return finding("import-allowed", where, text, "the project says that it may fail")
    if module.code and not _of_the_stack(one):
        return finding("code-import", where, text, "look whether that is so on Lambda as well")
    if one.missing:
        lacks = one.missing.partition(".")[0]
        here = any(lacks == each.name.partition(".")[0] for each in subject.modules)
        if not here and (why := _left_out(lacks, module, subject)):
            fix = f"make sure that nothing imports {one.module}"
            return finding("deliberately-absent", where, f"{text}; {why}", fix)
        if not here and others_work and not module.code:
            fix = f"nothing here requires {lacks}: add it to a layer if the function uses {one.module}"
            return finding("import-optional", where, text, fix)
        return finding(
            "import-failed", where, text, f"add the package that has {lacks} to a layer of the stack"
        )
    return finding("import-failed", where, text, _fix(one, subject.limits))


def _of_the_stack(one: Imported) -> bool:
    """Tell whether an import failed for what is in the stack, and not for what is around it."""
    return bool(
        one.missing or one.kind in _OF_IMPORTS or one.signal is not None or _LOADER.search(one.error or "")
    )


def _left_out(lacks: str, module: Module, subject: Subject) -> str | None:
    """Return why a module is missing, where it or something its package needs is left out on purpose."""
    from packaging.utils import canonicalize_name

    requires = {one.name: [need.name for need in one.requires if not need.extra] for one in subject.packages}
    waiting, seen = [canonicalize_name(lacks), *requires.get(module.package or "", ())], set[str]()
    while waiting:
        name = waiting.pop()
        if name in subject.absent:
            return f"{name} is left out: {subject.absent[name]}"
        if name not in seen:
            seen.add(name)
            waiting += requires.get(name, ())
    return None


def reason(one: Imported, limits: Limits) -> str:
    """Return why an import failed, in one line."""
    if one.stopped == "time":
        return f"it was still at it after {limits.timeout:g} seconds"
    if one.stopped == "memory":
        return f"it takes more than the {limits.memory:,} bytes of memory that it had"
    if one.signal == signal.SIGKILL:
        return f"it was killed; it had {limits.memory:,} bytes of memory"
    if one.signal is not None:
        try:
            name = signal.Signals(one.signal).name
        except ValueError:
            name = f"signal {one.signal}"
        return f"the interpreter died of {name}"
    if one.error:
        return one.error
    lines = one.printed.strip().splitlines()
    last = f": {lines[-1].strip()}" if lines else ""
    return f"it ended the interpreter with exit status {one.exit}{last}"


def _fix(one: Imported, limits: Limits) -> str:
    """Return what can be done about an import that failed for no lack of a module."""
    if one.signal == signal.SIGKILL:
        return f"try with more: --memory {2 * limits.memory >> 20}"
    if _LOADER.search(one.error or ""):
        return "the runtime lacks a shared library, or has an older one: take a wheel that brings its own"
    return f"look at it in the image; if the function never imports {one.module}, say so: import-may-fail"
