"""A target: one Lambda runtime on one architecture, and what is known of it.

The facts are data, in runtimes.json beside this file, each with its source and date; null there
means that nobody could say. What was read from a runtime's image (image_facts.py) stands above them.
Nothing in this module guesses.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from layerkit import image_facts
from layerkit.errors import UsageError

if TYPE_CHECKING:
    from layerkit.image_facts import ImageFacts

Layout = Literal["versioned", "flat"]
Arch = Literal["x86_64", "arm64"]

_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
_ARCH_NAMES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
# PEP 513, 571 and 599: the older names of three manylinux levels, and the machines that have them.
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_MANYLINUX = {"x86_64": 5, "aarch64": 17}
_LAST_MINOR_WITH_M_ABI = 7
# The SDK itself: it is left out of the layers or shipped as a whole; and what counts as it where a project
# asks for it by name. What else belongs to the set (urllib3, python-dateutil, six) is shared with others.
SDK_CORE = frozenset({"boto3", "botocore", "s3transfer"})
SDK_AS_ROOT = SDK_CORE | {"jmespath"}
SDK_VERSION = re.compile(r"\d+\.\d+\.\d+")


class Sdk(Struct, frozen=True, kw_only=True):
    """The version of the AWS SDK that a runtime brings, as far as it was seen."""

    boto3: str
    botocore: str
    source: str
    seen: str | None = None


class Target(Struct, frozen=True, kw_only=True):
    """One runtime on one architecture: what a wheel must fit and what a layer may leave out.

    `python` is the full version whose markers are used, `glibc` the newest symbol version the
    runtime offers. `sdk` is None where no version of the runtime's SDK was ever seen. `seen` is what
    the runtime's image was found to hold, where this user had it read.
    """

    runtime: str
    arch: Arch
    python: str
    glibc: tuple[int, int]
    interpreter: str
    sdk: Sdk | None = None
    seen: ImageFacts | None = None

    @property
    def minor(self) -> str:
        """Return the Python version that names the runtime, such as 3.12."""
        return self.runtime.removeprefix("python")

    @property
    def short(self) -> str:
        """Return the name used in file names, such as py312."""
        return "py" + self.minor.replace(".", "")

    @property
    def key(self) -> str:
        """Return the name of the target's folder, such as python3.12-x86_64."""
        return f"{self.runtime}-{self.arch}"

    @property
    def machine(self) -> str:
        """Return the machine as wheels and markers call it: x86_64 or aarch64."""
        return _MACHINES[self.arch]

    def brings(self) -> tuple[tuple[str, str | None], ...]:
        """Return the packages that the runtime brings, with their versions as far as they were seen."""
        versions: dict[str, str | None] = dict(self.seen.packages) if self.seen else {}
        if not self.seen:
            versions = dict.fromkeys(facts()["brings"]["value"])
        if self.sdk:
            versions |= {"boto3": self.sdk.boto3, "botocore": self.sdk.botocore}
        return tuple(versions.items())

    def site_packages(self, layout: Layout) -> str:
        """Return the folder of a layer that Lambda puts on sys.path, without slashes around it."""
        return f"python/lib/python{self.minor}/site-packages" if layout == "versioned" else "python"

    def markers(self) -> dict[str, str]:
        """Return the environment that markers are evaluated in (PEP 508), without `extra`."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python,
            "python_version": self.minor,
            "sys_platform": "linux",
        }

    def platforms(self) -> tuple[str, ...]:
        """Return the platform tags the runtime accepts, the newest glibc first, as pip ranks them.

        The order is the one of PEP 600: every level up to the runtime's glibc, each followed by
        its older name where it has one, and the bare linux tag last.
        """
        major, newest = self.glibc
        platforms: list[str] = []
        for level in range(newest, _OLDEST_MANYLINUX[self.machine] - 1, -1):
            platforms.append(f"manylinux_{major}_{level}_{self.machine}")
            if level in _LEGACY_MANYLINUX:
                platforms.append(f"{_LEGACY_MANYLINUX[level]}_{self.machine}")
        return (*platforms, f"linux_{self.machine}")

    def tags(self) -> tuple[str, ...]:
        """Return the wheel tags that fit, the best first, as pip on the runtime would rank them."""
        from packaging.tags import compatible_tags, cpython_tags

        version = tuple(int(part) for part in self.minor.split("."))
        suffix = "m" if version[1] <= _LAST_MINOR_WITH_M_ABI else ""
        interpreter = "cp" + self.minor.replace(".", "")
        platforms = self.platforms()
        specific = cpython_tags(version, [interpreter + suffix], platforms)
        generic = compatible_tags(version, interpreter, platforms)
        return tuple(str(tag) for tag in (*specific, *generic))


@cache
def facts() -> dict[str, Any]:
    """Return runtimes.json as it stands: facts with their sources and dates."""
    text = Path(__file__).with_name("runtimes.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def limit(name: str) -> int:
    """Return one of Lambda's limits in its unit: bytes, or a count."""
    return int(facts()["limits"][name]["value"])


def sdk_set() -> frozenset[str]:
    """Return the canonical names of the SDK and of what it needs: left out together or not at all."""
    return frozenset(facts()["sdk_set"]["value"])


def present_libraries(target: Target) -> frozenset[str]:
    """Return the sonames of the shared libraries that are known to be on a managed runtime.

    They are those of its image, where that was read. Else one that is not among them may be there all
    the same: nobody could say.
    """
    known = facts()["libraries"]
    listed = known[facts()["runtimes"][target.runtime]["os"]]["present"]
    return frozenset((*known["glibc"]["value"], *(target.seen.libraries if target.seen else listed)))


def on_runtime(target: Target, soname: str) -> bool | None:
    """Tell whether a shared library is on the managed runtime; None where nobody could say."""
    fact = facts()["libraries"][facts()["runtimes"][target.runtime]["os"]]
    if soname in present_libraries(target):
        return True
    # The interpreter's own folder is in no list of the system's packages.
    if soname.startswith("libpython"):
        return None
    return False if fact["complete"] or soname in fact["absent"] or "musl" in soname else None


def build_image(runtime: str) -> str | None:
    """Return the image of a runtime that has compilers, where one is known: SAM's, for AL1 the older one."""
    known = facts()["runtimes"][runtime]
    sam, lambci = known["images"]["sam_build"], known["images"]["lambci_build"]
    found: str | None = lambci or sam if known["os"] == "AL1" else sam or lambci
    return found


def runtimes() -> tuple[str, ...]:
    """Return the names of the runtimes that facts are known of, the oldest first."""
    return tuple(facts()["runtimes"])


def supported_runtimes() -> tuple[str, ...]:
    """Return the runtimes that AWS supports today, the oldest first."""
    known = facts()["runtimes"]
    return tuple(name for name, fact in known.items() if fact["status"] == "supported")


def maintained_runtimes() -> tuple[str, ...]:
    """Return the runtimes that AWS let its users update on the day of the facts, the oldest first.

    A preview is none of them: what is built for it may be wrong tomorrow.
    """
    today = facts()["generated"]
    return tuple(
        name
        for name, fact in facts()["runtimes"].items()
        if not fact["status"].startswith("preview") and fact["dates"]["block_update"] > today
    )


def parse_runtime(text: str) -> str:
    """Return the runtime's own name for `py312`, `3.12`, `python312` or `python3.12`.

    Raises UsageError, naming the runtimes that are known.
    """
    match = re.fullmatch(r"(?:python|py)?(3)\.?(\d{1,2})", text.strip().lower())
    name = f"python{match[1]}.{match[2]}" if match else text
    if name not in facts()["runtimes"]:
        raise UsageError(f"there is no Lambda runtime called {text!r}", fix=f"known: {', '.join(runtimes())}")
    return name


def parse_arch(text: str) -> Arch:
    """Return Lambda's name of an architecture, also for `amd64` and `aarch64`."""
    name = _ARCH_NAMES.get(text.strip().lower())
    if name is None:
        raise UsageError(f"there is no Lambda architecture called {text!r}", fix="known: x86_64, arm64")
    return name  # type: ignore[return-value]


def target(runtime: str, arch: str = "x86_64", sdk_version: str | None = None) -> Target:
    """Return the target of a runtime and an architecture.

    What was read from the runtime's image stands above the facts that layerkit comes with, and
    `sdk_version` above the version of boto3 and botocore that was last seen on the runtime.
    Raises UsageError for a runtime that does not exist or never ran on the architecture, ConfigError for
    a file of facts that is none.
    """
    name, machine = parse_runtime(runtime), parse_arch(arch)
    fact = facts()["runtimes"][name]
    if machine not in fact["architectures"]:
        known = ", ".join(fact["architectures"])
        raise UsageError(f"{name} does not run on {machine}", fix=f"it has: {known}")
    seen = image_facts.read().get(f"{name}-{machine}")
    major, minor = (seen.glibc if seen else fact["glibc"]["value"]).split(".")
    return Target(
        runtime=name,
        arch=machine,
        python=seen.python if seen else fact["python"]["value"],
        glibc=(int(major), int(minor)),
        interpreter=fact["interpreter"],
        sdk=_sdk(fact["sdk"], seen, sdk_version),
        seen=seen,
    )


def _sdk(fact: dict[str, str] | None, seen: ImageFacts | None, version: str | None) -> Sdk | None:
    """Return the SDK as configured, else as the image has it, else as last seen, else None."""
    if version is not None:
        if SDK_VERSION.fullmatch(version) is None:
            what = f"{version!r} is not a version of boto3"
            raise UsageError(what, where="--sdk-version", fix="it has three numbers, such as 1.40.4")
        return Sdk(boto3=version, botocore=version, source="the project's sdk-version")
    held = seen and (seen.version("boto3"), seen.version("botocore"))
    if seen and held and held[0] and held[1]:
        return Sdk(boto3=held[0], botocore=held[1], source=seen.source, seen=seen.seen)
    return Sdk(**fact) if fact else None
