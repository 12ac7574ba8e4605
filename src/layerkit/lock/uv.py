"""The conversation with uv, which chooses the versions.

uv asks the interpreter it resolves for what it is. For a Lambda runtime there need not be any
interpreter here, and uv has no name for glibc 2.26; so a *stand-in* answers: a shell script of
two lines that prints what the runtime's own interpreter would say. uv then accepts every wheel
tag up to the runtime's glibc, in the order pip on the runtime ranks them, for any Python and
architecture. The answer's form is uv's own (its get_interpreter_info script, 0.13); the range
of uv in pyproject.toml is the one the tests have seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from layerkit.errors import LayerkitError, NetworkError, ResolutionError
from layerkit.lock import Source, WheelRef
from layerkit.lock.places import Errand, Here
from layerkit.redaction import redact, strip_credentials
from layerkit.target import runtimes
from layerkit.toml import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.lock.places import Place
    from layerkit.lock.sources import KnownSources, Sources
    from layerkit.store import Store
    from layerkit.target import Target

_NETWORK_SIGNS = (
    "Failed to fetch",
    "Request failed",
    "error sending request",
    "Network connectivity is disabled",
    "timed out",
    "status code",
    "HTTP status",
)
_OFFLINE_SIGNS = ("network was disabled", "not found in the cache")
_FIRST_LINES, _LAST_LINES = 8, 12
_UNSATISFIABLE = "No solution found"
_FILE_ADDRESS = re.compile(r"file://[^\s;#]+")
_UNBUILT = re.compile(r"hint: Wheels are required for `([A-Za-z0-9._-]+)`")
# An index that wants other credentials is for uv one that does not have the package.
_UNKNOWN_USER = "due to a lack of valid authentication credentials"


class Candidate(Struct, frozen=True, kw_only=True):
    """A version that uv chose, with the wheels of it that it names, or its source archive.

    `source` is set once a wheel has been built of it, which is then the only one.
    """

    name: str
    version: str
    wheels: tuple[WheelRef, ...]
    sdist: WheelRef | None = None
    source: Source | None = None


class Question(Struct, frozen=True, kw_only=True):
    """What uv is asked: requirement lines, and what bounds them.

    `overrides` replace a requirement wherever it comes from, `preferences` is an earlier lock
    whose versions are kept where they still fit.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    preferences: str | None = None


class UnsatisfiableError(ResolutionError):
    """uv proved that no set of versions fits; `what` holds its reasoning.

    `unbuilt` names the packages among them that have source archives and no wheel that fits.
    """

    unbuilt: tuple[str, ...] = ()


class Uv:
    """uv, asked on behalf of one target from one project's folder."""

    def __init__(
        self,
        target: Target,
        store: Store,
        folder: Path,
        *,
        sources: Sources | None = None,
        place: Place | None = None,
        offline: bool = False,
    ) -> None:
        """Keep whom to ask for; nothing is run yet. Without `sources` only wheels count.

        `place` is where uv runs, this machine by default.
        """
        self.target = target
        self._store = store
        self._folder = folder
        self._sources = sources
        self._place = place or Here()
        self._offline = offline

    @property
    def may_build(self) -> bool:
        """Say whether packages without a fitting wheel are built from source."""
        return self._sources is not None and self._sources.may_add

    def resolve(self, question: Question) -> tuple[Candidate, ...]:
        """Return the chosen versions in name order, each with its best wheel for the target.

        What has to be built is built on the way. Raises UnsatisfiableError when no versions fit,
        NetworkError when an index cannot be had.
        """
        if self._sources is None:
            return self._compile(question, ())
        return self._sources.resolve(lambda known: self._compile(question, (), known))

    def unbuilt(self, versions: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
        """Return, of the packages in `versions`, those whose newest version has no wheel that fits.

        The values are those newest versions; only versions that admit the target's Python count.
        """
        with tempfile.TemporaryDirectory(prefix="layerkit-") as name:
            for package, version in versions.items():
                _pretend_installed(Path(name), package, version)
            command = [*self._uv("list"), "--target", name, "--outdated", "--format", "json", "--quiet"]
            listed = json.loads(self._run([*command, *arguments], Path(name)) or "[]")
        return {row["name"]: row["latest_version"] for row in listed if row["latest_filetype"] == "sdist"}

    def wheels_of(self, requirement: str, arguments: Sequence[str]) -> Candidate | None:
        """Return the newest version that `requirement` admits with its wheels for all platforms.

        uv names the wheels of one lowest Python and those above it, so the oldest Python that
        the version admits is looked for first. None where there is no wheel at all.
        """
        question = Question(requirements=(requirement,), arguments=tuple(arguments))
        for runtime in runtimes():
            lowest = ("--python-version", runtime.removeprefix("python"))
            try:
                found = self._compile(question, ("--universal", "--no-deps", *lowest))
            except UnsatisfiableError:
                continue
            if found:
                return found[-1]
        return None

    def newest_fitting(self, name: str, arguments: Sequence[str]) -> str | None:
        """Return the newest version of `name` that has a wheel for the target, if any has."""
        question = Question(requirements=(name,), arguments=tuple(arguments))
        try:
            return self._compile(question, ("--no-deps",))[0].version
        except (UnsatisfiableError, IndexError):
            return None

    def _compile(
        self, question: Question, more: Sequence[str], known: KnownSources | None = None
    ) -> tuple[Candidate, ...]:
        """Write the question down, run uv on it and read its lock."""
        with tempfile.TemporaryDirectory(prefix="layerkit-") as name:
            folder = Path(name)
            answer = folder / "pylock.toml"
            if question.preferences is not None:
                answer.write_text(question.preferences, encoding="utf-8")
            environment = {}
            if known is not None and known.names:
                more = (*more, *known.arguments())
                environment["UV_CONFIG_FILE"] = known.write(folder / "uv.toml", self._folder)
            command = self._command(question, folder, answer, more)
            self._run(command, folder, _local_files(question), answer, environment)
            return _candidates(answer.read_text(encoding="utf-8"), folder)

    def _command(self, question: Question, folder: Path, answer: Path, more: Sequence[str]) -> list[str]:
        """Return uv's command line; the question's lines go to files beside the answer."""
        command = [*self._uv("compile"), _lines(folder, "requirements", question.requirements)]
        if question.constraints:
            command += ["--constraints", _lines(folder, "constraints", question.constraints)]
        if question.overrides:
            command += ["--overrides", _lines(folder, "overrides", question.overrides)]
        command += [
            "--only-binary",
            ":all:",
            "--format",
            "pylock.toml",
            "--output-file",
            str(answer),
            "--quiet",
        ]
        return [*command, *question.arguments, *more]

    def _uv(self, verb: str) -> list[str]:
        """Return the arguments that every call of uv begins with: the verb, and the target."""
        command = ["pip", verb, "--no-progress", "--color", "never"]
        if self._offline:
            command.append("--offline")
        return [*command, "--python", str(stand_in(self.target, self._store))]

    def _run(
        self,
        arguments: Sequence[str],
        shared: Path,
        files: Sequence[Path] = (),
        answer: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run uv, return what it printed and turn its failures into ours."""
        told = self._place.run(
            Errand(
                arguments=arguments,
                folder=self._folder,
                shared=shared,
                needed=(stand_in(self.target, self._store), *files),
                answer=answer,
                environment=environment or {},
            )
        )
        if told.code:
            raise failure(told.error, self._place.advice)
        return told.out


def stand_in(target: Target, store: Store) -> Path:
    """Return the path of the script that answers uv for `target`, written once per store."""
    answer = json.dumps(_interpreter_facts(target), sort_keys=True)
    digest = hashlib.sha256(answer.encode()).hexdigest()
    path = store.path("interpreters", digest)
    if not path.exists():
        text = answer.replace('"@self"', json.dumps(str(path)))
        with store.publish("interpreters", digest) as temporary:
            Path(temporary).write_text(f"#!/bin/sh\nprintf '%s\\n' '{_quoted(text)}'\n", encoding="utf-8")
            Path(temporary).chmod(0o755)
    return path


def _quoted(text: str) -> str:
    """Return `text` fit to stand between single quotes in a shell script."""
    return text.replace("'", "'\\''")


def _interpreter_facts(target: Target) -> dict[str, Any]:
    """Return what the runtime's interpreter would answer; `@self` stands for the script's own path."""
    prefix = str(Path(target.interpreter).parent.parent)
    site_packages = f"{prefix}/lib/python{target.minor}/site-packages"
    scheme = {"purelib": site_packages, "platlib": site_packages, "scripts": f"{prefix}/bin", "data": prefix}
    scheme["include"] = f"{prefix}/include"
    major, minor = target.glibc
    return {
        "result": "success",
        "markers": target.markers(),
        "sys_base_prefix": prefix,
        "sys_base_exec_prefix": prefix,
        "sys_prefix": prefix,
        "sys_base_executable": "@self",
        "sys_executable": "@self",
        "sys_path": [],
        "site_packages": [site_packages],
        "stdlib": f"{prefix}/lib/python{target.minor}",
        "extension_suffixes": [".so"],
        "standalone": False,
        "scheme": scheme,
        "virtualenv": {key: path.lstrip("/") for key, path in scheme.items()},
        "os": {"name": "manylinux", "major": major, "minor": minor},
        "arch": target.machine,
        "cpu_info": {"unavailable": "the stand-in has no processor"},
        "manylinux_compatible": True,
        "gil_disabled": False,
        "debug_enabled": False,
        "pointer_size": "64",
    }


def _local_files(question: Question) -> list[Path]:
    """Return the local wheels that a question names by their addresses."""
    lines = (*question.requirements, *question.constraints, *question.overrides)
    found = (_FILE_ADDRESS.search(line) for line in lines)
    return [Path(unquote(urlsplit(match[0]).path)) for match in found if match]


def _lines(folder: Path, name: str, lines: Sequence[str]) -> str:
    """Write lines to a file for uv and return its path."""
    path = folder / f"{name}.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def _pretend_installed(folder: Path, name: str, version: str) -> None:
    """Lay down as much of a .dist-info as uv needs to take a package for installed."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    (info / "RECORD").write_text("", encoding="utf-8")


def failure(text: str, advice: str = Here.advice) -> LayerkitError:
    """Return the error that uv's words amount to; `advice` is for one of the network."""
    said = redact(text).strip().removeprefix("error: ")
    unbuilt = tuple(dict.fromkeys(_UNBUILT.findall(said)))
    unfit = ("hint: Wheels are required", "warning:")
    said = "\n".join(line for line in said.splitlines() if not line.startswith(unfit)).strip()
    said = _shortened(said)
    if _UNKNOWN_USER in said:
        fix = (
            "give the right user and password: in the index's address, in a netrc file or by `uv auth login`"
        )
        return NetworkError(said, fix=fix)
    if _UNSATISFIABLE in said and not any(sign in said for sign in _OFFLINE_SIGNS):
        error = UnsatisfiableError(said)
        error.unbuilt = unbuilt
        return error
    if any(sign in said for sign in (*_NETWORK_SIGNS, *_OFFLINE_SIGNS)):
        return NetworkError(said, fix=advice)
    return ResolutionError(said)


def _shortened(text: str) -> str:
    """Return a proof of uv without its middle: some go through every release of a package."""
    lines = text.splitlines()
    left_out = len(lines) - _FIRST_LINES - _LAST_LINES
    if left_out <= 1:
        return text
    return "\n".join(
        (
            *lines[:_FIRST_LINES],
            f"         ... {left_out} lines of the proof left out ...",
            *lines[-_LAST_LINES:],
        )
    )


def _candidates(text: str, folder: Path) -> tuple[Candidate, ...]:
    """Read uv's PEP 751 lock; relative paths in it start at `folder`."""
    packages = parse(text).get("packages", [])
    read = (
        Candidate(
            name=package["name"],
            version=package.get("version", ""),
            wheels=_wheels(package, folder),
            sdist=_wheel(package["sdist"], folder) if "sdist" in package else None,
        )
        for package in packages
    )
    return tuple(sorted(read, key=lambda candidate: candidate.name))


def _wheels(package: Mapping[str, Any], folder: Path) -> tuple[WheelRef, ...]:
    """Return the wheels of one locked package; a wheel given by its address is an `archive`."""
    entries = list(package.get("wheels", []))
    if "archive" in package:
        entries.append(package["archive"])
    return tuple(_wheel(entry, folder) for entry in entries)


def _wheel(entry: Mapping[str, Any], folder: Path) -> WheelRef:
    """Return one wheel of uv's lock, local when its address is a path or a file URL."""
    url, path = entry.get("url"), entry.get("path")
    if url is not None and urlsplit(url).scheme == "file":
        url, path = None, unquote(urlsplit(url).path)
    if path is not None:
        path = os.path.normpath(folder / path)
    source = path or unquote(urlsplit(url or "").path)
    return WheelRef(
        filename=entry.get("name") or source.rpartition("/")[2],
        sha256=entry.get("hashes", {}).get("sha256", ""),
        size=entry.get("size"),
        url=strip_credentials(url) if url else None,
        path=path,
    )
