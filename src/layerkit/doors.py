"""What the shell scripts ask of Python: python -m layerkit.doors COMMAND ARGUMENTS.

layer_builds.sh and layer_create_zip.sh keep an interface that users know from older scripts; where shell
would need more than a few lines, the work is done here. Facts go to stdout, talk to stderr.

    deliver [LAYER]                  give the zips of `layerkit build --json` (stdin) their old names
    pin-sdk REQUIREMENTS [RUNTIME]   put the runtime's AWS SDK in place of the file's
    clean-aws | clean-packages | clean-metadata | strip FOLDER
    zip FOLDER ZIP                   write a layer zip of a folder
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from layerkit.errors import LayerkitError, StorageError, UsageError, WheelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerkit.layer.manifest import Manifest

__all__ = ["deliver", "main", "pin_sdk"]

_DEFAULT = "default"


def main() -> None:
    """Run one command and leave with its exit code; no traceback reaches a user."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    command, *rest = arguments or [""]
    try:
        if command not in _COMMANDS:
            raise UsageError(f"there is no door called {command!r}", fix=f"known: {', '.join(_COMMANDS)}")
        usage, work = _COMMANDS[command]
        if not usage.count(" ") + 1 - usage.count("[") <= len(rest) <= usage.count(" ") + 1:
            raise UsageError(f"{command} takes {usage}")
        work(*rest)
    except LayerkitError as error:
        _say(f"error: {error}")
        return error.exit_code
    return 0


def _deliver(only: str = "") -> None:
    """Read what the build printed, say what was built, and print the paths of the zips where they now lie."""
    from layerkit.layer.manifest import read
    from layerkit.report import show_build

    text = sys.stdin.read()
    # An error was shown by the build, and its exit code is what the script ends with: then no targets.
    targets = json.loads(text).get("targets", []) if text.strip() else []
    for one in targets:
        show_build(read(Path(one["manifest"])), _say, unchanged=one["unchanged"], engine=one["engine"])
    for path in deliver(targets, os.environ, only or None):
        sys.stdout.write(f"{path}\n")


def deliver(targets: list[dict[str, Any]], environ: Mapping[str, str], only: str | None = None) -> list[Path]:
    """Test the zips of a build, copy them to ZIP_PATH under the old names, hand them to USER_ID:GROUP_ID.

    `targets` are those that `layerkit build --json` printed. Without ZIP_PATH the zips stay where they
    are, under the names they have. `only` names the one layer that counts.
    """
    from layerkit.layer.manifest import read

    found: dict[Path, Path] = {}
    for one in targets:
        manifest = Path(one["manifest"])
        for source, name in _zips(read(manifest), manifest, environ, only):
            goal = Path(environ["ZIP_PATH"], name) if environ.get("ZIP_PATH") else source
            if goal in found:
                fix = "leave LIB_PREFIX and LIB_PACKAGE unset, or build for one runtime at a time"
                raise UsageError(f"two zips of this build would be {goal}", fix=fix)
            found[goal] = source
            if goal != source or not one["unchanged"]:
                _test(source)
    for goal, source in found.items():
        if goal != source:
            _copy(source, goal)
        _hand_over(goal, environ)
    return list(found)


def _zips(
    manifest: Manifest, path: Path, environ: Mapping[str, str], only: str | None
) -> Iterator[tuple[Path, str]]:
    """Yield each zip of one target and its old name: the default layer has the prefix alone."""
    suffix = "" if manifest.target.arch == "x86_64" else f"-{manifest.target.arch}"
    prefix = (environ.get("LIB_PREFIX") or path.stem) + suffix
    if only is not None and only not in {layer.name for layer in manifest.layers}:
        known = ", ".join(layer.name for layer in manifest.layers)
        raise UsageError(f"the project has no layer called {only!r}", fix=f"choose one with --layer: {known}")
    for layer in manifest.layers:
        if only in {None, layer.name}:
            alone = layer.name == _DEFAULT or only is not None
            package = environ.get("LIB_PACKAGE") or f"{prefix}.zip"
            yield path.parent / layer.zip.file, package if alone else f"{prefix}-{layer.name}.zip"
    for stack in manifest.stacks:
        if stack.code is not None and only is None:
            yield path.parent / stack.code.file, f"{prefix}-{stack.name}-code.zip"


def _test(path: Path) -> None:
    """Read a whole zip back; WheelError where a byte is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise WheelError(f"the zip cannot be read back: {error}", where=str(path)) from error
    if bad is not None:
        raise WheelError("the zip does not give back what was put in", where=f"{path}: {bad}")


def _copy(source: Path, goal: Path) -> None:
    """Copy a zip, whole or not at all."""
    from layerkit.output import draft

    with draft(goal) as path:
        copyfile(source, path)


def _hand_over(path: Path, environ: Mapping[str, str]) -> None:
    """Give a zip to the user who asked for it, where root builds for somebody else."""
    user, group = environ.get("USER_ID") or "", environ.get("GROUP_ID") or ""
    if not user or os.geteuid() != 0:
        return
    if not (user.isdigit() and (group or user).isdigit()):
        raise UsageError("USER_ID and GROUP_ID are numbers, as `id -u` and `id -g` print them")
    try:
        os.chown(path, int(user), int(group or user))
    except OSError as error:
        raise StorageError(f"the owner cannot be changed: {error.strerror}", where=str(path)) from error


def _pin_sdk(requirements: str, runtime: str = "") -> None:
    """Rewrite a requirements file in place."""
    runtime = runtime or os.environ.get("RUNTIME") or os.environ.get("LIB_PREFIX", "").split("-")[0]
    if not runtime:
        fix = "name it: pin_lambda_sdk REQUIREMENTS py312"
        raise UsageError("nothing says which runtime's SDK is meant", fix=fix)
    path = Path(requirements)
    try:
        before = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=requirements) from error
    after = pin_sdk(before, runtime)
    if after != before:
        from layerkit.output import draft

        with draft(path) as written:
            written.write_text(after, encoding="utf-8", newline="")


def pin_sdk(text: str, runtime: str) -> str:
    """Return a requirements file with the runtime's AWS SDK in place of its own.

    boto3 and botocore are pinned to what the runtime was last seen with. Nobody knows the runtime's
    versions of what they need (urllib3 and the like), so an exact pin of one of these is opened, and the
    resolver takes what fits. Hashes of lines that change are dropped; all other lines stay as they are.
    """
    from layerkit.target import target

    sdk = target(runtime).sdk
    if sdk is None:
        raise UsageError(f"the version of the AWS SDK on {runtime} is not known", fix="pin it by hand")
    versions = {"boto3": sdk.boto3, "botocore": sdk.botocore}
    return "".join(_pinned(line, versions) for line in _logical_lines(text))


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines of a requirements file, continued ones in one piece, ends included."""
    held = ""
    for line in text.splitlines(keepends=True):
        held += line
        if not line.rstrip("\r\n").endswith("\\") or line.lstrip().startswith("#"):
            yield held
            held = ""
    if held:
        yield held


def _pinned(line: str, versions: Mapping[str, str]) -> str:
    """Return one logical line, with the runtime's version where it names a package of the SDK."""
    from packaging.requirements import InvalidRequirement, Requirement

    from layerkit.project.requirement import canonical
    from layerkit.target import sdk_set

    joined = line.replace("\\\r\n", " ").replace("\\\n", " ").strip()
    words, _, comment = joined.partition(" #")
    try:
        requirement = Requirement(words.partition(" --hash")[0].strip())
    except InvalidRequirement:  # an option, a path, a comment, an empty line
        return line
    name = canonical(requirement.name)
    if name not in sdk_set():
        return line
    exact = any(one.operator in {"==", "==="} and "*" not in one.version for one in requirement.specifier)
    if name in versions:
        pinned = f"=={versions[name]}"
        if requirement.specifier == pinned:
            return line
    elif exact or requirement.url:
        pinned = ""
    else:
        return line
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    end = line[len(line.rstrip("\r\n")) :]
    return f"{requirement.name}{extras}{pinned}{marker}{f'  #{comment}' if comment else ''}{end}"


def _on_folder(name: str) -> Callable[..., None]:
    """Return the command that runs a function of folders.py or stripping.py and says what it did."""

    def work(folder: str) -> None:
        from layerkit import folders, stripping

        done = getattr(stripping if name == "strip_libraries" else folders, name)(Path(folder).resolve())
        for sentence in done:
            _say(sentence)

    return work


def _zip(folder: str, out: str) -> None:
    """Write a layer zip of a folder, read it back and print its path."""
    from layerkit.folders import zip_folder

    zip_folder(Path(folder), Path(out))
    _test(Path(out))
    _hand_over(Path(out), os.environ)
    sys.stdout.write(f"{out}\n")


def _say(text: str) -> None:
    """Talk to the user."""
    sys.stderr.write(f"{text}\n")


# What each command takes, optional words in brackets, and what runs it.
_COMMANDS: dict[str, tuple[str, Callable[..., None]]] = {
    "deliver": ("[LAYER]", _deliver),
    "pin-sdk": ("REQUIREMENTS [RUNTIME]", _pin_sdk),
    "clean-aws": ("FOLDER", _on_folder("clean_aws")),
    "clean-packages": ("FOLDER", _on_folder("clean_packages")),
    "clean-metadata": ("FOLDER", _on_folder("clean_metadata")),
    "strip": ("FOLDER", _on_folder("strip_libraries")),
    "zip": ("FOLDER ZIP", _zip),
}

if __name__ == "__main__":
    main()
