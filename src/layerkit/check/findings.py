"""What a check finds: values with stable codes, and the report they make.

A code says what kind of fault it is and how grave; its sentence stands once, in `CODES`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from layerkit.archive.problems import escaped
from layerkit.errors import CheckFailedError, LimitExceededError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerkit.check.in_image import ImageLook
    from layerkit.errors import LayerkitError
    from layerkit.project.specs import CheckRules, FailOn

Severity = Literal["error", "warning"]

CODES: dict[str, tuple[Severity, str]] = {
    "archive": ("error", "The zip is damaged, hostile or not a zip; nothing else in it was checked."),
    "empty-zip": ("error", "A zip has nothing in it; Lambda takes no such zip."),
    "missing-requirement": (
        "error",
        "A package requires another one that neither the stack nor the runtime has.",
    ),
    "version-conflict": ("error", "A package requires another version than the one that would be imported."),
    "duplicate-package": ("error", "A package lies in one stack in several versions."),
    "unzipped-limit": ("error", "Code and layers together are larger than Lambda unzips."),
    "layer-count": ("error", "A function has more layers than Lambda takes."),
    "repeated-package": ("warning", "A package lies in one stack more than once, in the same version."),
    "deliberately-absent": ("warning", "A package requires one that the project never deploys."),
    "extra-requirement": (
        "warning",
        "A package asks for an extra of another one, whose requirement is missing or has another version.",
    ),
    "runtime-version-unknown": (
        "warning",
        "A package requires a version of one that the runtime brings, and nobody has seen which that is.",
    ),
    "unreadable-metadata": ("warning", "A package's METADATA or a requirement in it cannot be read."),
    "path-collision": ("warning", "Two layers have the same path with different content."),
    "unreachable-files": ("warning", "Files lie where Lambda's Python, PATH and LD_LIBRARY_PATH never look."),
    "pip-check": (
        "error",
        "In the runtime's image, pip check finds a requirement missing or in conflict.",
    ),
    "pip-check-runtime": (
        "warning",
        "In the runtime's image, pip check finds its own packages at odds with each other.",
    ),
    "import-failed": ("error", "A module cannot be imported in the runtime's image."),
    "import-optional": (
        "warning",
        "A module lacks one that nothing in the stack requires; others of its package can be imported.",
    ),
    "import-allowed": ("warning", "A module cannot be imported, and the project says that it need not."),
    "code-import": (
        "warning",
        "The function's own code raised an error while it was imported, as it may where Lambda is not.",
    ),
    "image-foreign": ("error", "The image has another Python than the runtime."),
    "image-differs": ("warning", "The image has another glibc than the runtime."),
    "symbolic-link": (
        "warning",
        "A zip has symbolic links, which Lambda unpacks as such; nothing in it is imported by the check.",
    ),
    "elf-unreadable": ("warning", "A file begins like a shared library, and cannot be read as one."),
    "foreign-machine": ("error", "A shared library or extension module was made for another machine."),
    "foreign-binary": (
        "warning",
        "A file was made for another machine; nothing says that Python or the loader would take it.",
    ),
    "library-missing": ("error", "A shared library is needed that neither the stack nor the runtime has."),
    "library-unknown": (
        "warning",
        "A shared library is needed that the stack lacks, and nobody could say whether the runtime has it.",
    ),
    "library-astray": (
        "warning",
        "A shared library is needed that lies in the stack where the loader does not look for it.",
    ),
    "symbol-version": ("error", "A shared library needs a newer glibc or libstdc++ than the runtime has."),
    "executable-stack": ("warning", "A shared library asks for an executable stack."),
    "text-relocations": ("warning", "A shared library has relocations in its code."),
    "wheel-tags": ("error", "A package is of a wheel that the runtime's Python does not take."),
    "extension-suffix": ("error", "An extension module has a name that the runtime's Python never imports."),
    "unreadable-mode": (
        "error",
        "A file or folder has a mode that lets only its owner read it.",
    ),
    "pth-runs": ("warning", "A .pth file lies where Lambda runs it at every start."),
    "editable-leftover": ("error", "An editable installation points to a folder that is not on Lambda."),
    "stale-bytecode": ("warning", "Bytecode can never be used: its date, its Python or its place is wrong."),
    "foreign-bytecode": ("error", "A module is there as bytecode of another Python only."),
    "package-hidden": (
        "error",
        "Modules cannot be imported, for a package of the same name comes before theirs on sys.path.",
    ),
    "sdk-half": ("error", "The AWS SDK lies in the stack by half; the other half is the runtime's."),
    "sdk-mixed": ("warning", "Parts of the AWS SDK lie in the stack, and boto3 is the runtime's."),
    "known-bad-pair": ("error", "Two packages are known to fail together, whatever their metadata say."),
    "direct-upload": ("warning", "A zip is too large to be uploaded directly and has to go through S3."),
}
_LIMITS = frozenset({"unzipped-limit", "layer-count"})


class Finding(Struct, frozen=True, kw_only=True):
    """One fault: where it is, what it is, and what to do about it."""

    code: str
    severity: Severity
    where: str
    text: str
    fix: str

    def __str__(self) -> str:
        """Return the finding on one line, without what to do."""
        return f"{self.severity}: {self.where}: {self.text} [{self.code}]"


def finding(code: str, where: str, text: str, fix: str) -> Finding:
    """Return a finding; its severity is the one of its code.

    What a package says of itself stands in these texts: no control character of it reaches a terminal.
    """
    where, text, fix = ("\n".join(map(escaped, one.split("\n"))) for one in (where, text, fix))
    return Finding(code=code, severity=CODES[code][0], where=where, text=text, fix=fix)


class Subject(Struct, frozen=True, kw_only=True):
    """One zip or planned layer that was checked, with its sizes in bytes and how many packages it holds."""

    name: str
    zipped: int
    unzipped: int
    packages: int


class Report(Struct, frozen=True, kw_only=True):
    """What was checked for a target and what was found, errors first; `inside` where an image was used.

    `ignored` are the findings that somebody wants passed over, `fail_on` says how grave one has to be.
    """

    target_key: str
    subjects: tuple[Subject, ...]
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...] = ()
    fail_on: FailOn = "error"
    inside: ImageLook | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that make the check fail."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Return the findings that do not."""
        return tuple(each for each in self.findings if each.severity == "warning")

    @property
    def failing(self) -> tuple[Finding, ...]:
        """Return the findings that are grave enough to fail."""
        return {"error": self.errors, "warning": self.findings, "never": ()}[self.fail_on]

    def under(self, rules: CheckRules) -> Report:
        """Return the report as somebody's rules have it."""
        kept = tuple(each for each in self.findings if each.code not in rules.ignore)
        ignored = tuple(each for each in self.findings if each.code in rules.ignore)
        return replace(self, findings=kept, ignored=ignored, fail_on=rules.fail_on)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON has it, with the sentence of every code that occurs."""
        codes = {each.code for each in (*self.findings, *self.ignored)}
        return {
            "target": self.target_key,
            "passed": not self.failing,
            "checked": [to_builtins(subject) for subject in self.subjects],
            "findings": [to_builtins(each) for each in self.findings],
            "ignored": [to_builtins(each) for each in self.ignored],
            **({"in_image": self.inside.as_json()} if self.inside else {}),
            "codes": {code: CODES[code][1] for code in sorted(codes)},
        }

    def failure(self, stack: str) -> LayerkitError | None:
        """Return the error that says in one line why the check of a stack fails; None where it does not."""
        if not self.failing:
            return None
        counts = Counter(each.code for each in self.failing)
        listed = ", ".join(f"{code} ({count})" if count > 1 else code for code, count in counts.items())
        number = len(self.failing)
        text = f"{number} finding{'s' * (number > 1)} that must not be: {listed}"
        return self._kind()(text, where=f"{self.target_key}: stack {stack}")

    def _kind(self) -> type[LayerkitError]:
        """Return the error of what fails: that of limits where these alone are broken."""
        limits = all(each.code in _LIMITS for each in self.failing)
        return LimitExceededError if limits else CheckFailedError

    def raise_for_errors(self) -> None:
        """Raise CheckFailedError with every error; LimitExceededError where limits alone are broken."""
        if not self.failing:
            return
        if len(self.failing) == 1:
            (only,) = self.failing
            raise self._kind()(f"{only.text} [{only.code}]", where=only.where, fix=only.fix)
        lines = (f"{each.where}: {each.text} [{each.code}]\n      {each.fix}" for each in self.failing)
        raise self._kind()(
            "\n    ".join([f"{len(self.failing)} faults that would show on Lambda", *lines]),
            where=self.target_key,
        )


def known_codes(codes: Iterable[str], where: str) -> None:
    """Raise UsageError for a code that no finding has."""
    from difflib import get_close_matches

    for code in codes:
        if code not in CODES:
            near = get_close_matches(code, CODES, 1)
            fix = f"did you mean {near[0]}?" if near else "docs/check.md lists them all"
            raise UsageError(f"there is no finding called {code!r}", where=where, fix=fix)


def report(
    target_key: str,
    subjects: Iterable[Subject],
    findings: Iterable[Finding],
    inside: ImageLook | None = None,
) -> Report:
    """Return a report in which every finding stands once, errors before warnings."""
    ordered = sorted(dict.fromkeys(findings), key=lambda each: each.severity != "error")
    return Report(target_key=target_key, subjects=tuple(subjects), findings=tuple(ordered), inside=inside)
