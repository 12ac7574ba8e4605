"""Options that commands share, and the session they open with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerkit.cli.console import talk

if TYPE_CHECKING:
    from layerkit.engines import Engines
    from layerkit.session import Session

Command = Any

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
_PATH = click.Path(path_type=Path)
TARGETS = (
    click.option("--runtime", "-r", multiple=True, metavar="NAME", help="py312, 3.12, python3.12 or all."),
    click.option("--arch", "-a", multiple=True, metavar="ARCH", help="x86_64 or arm64."),
)
_RESOLVING = (
    click.option("--sdk", type=click.Choice(["auto", "runtime", "bundle"]), help="Where the AWS SDK is."),
    click.option("--sdk-version", metavar="VERSION", help="The version of boto3 that the runtime brings."),
    click.option("--layout", type=click.Choice(["versioned", "flat"]), help="With pythonX.Y or without."),
)
_FILES = (
    click.option("--output", "-o", type=_PATH, help="Folder for the zips; dist/layers by default."),
    click.option("--name", metavar="NAME", help="Name of the project in file names."),
    click.option("--project-version", metavar="VERSION", help="Version of the project in file names."),
)
_ENGINE = click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "wheels"]),
    help="auto: Docker for what only it can do; docker: it has to be there; wheels: never.",
)
_OFFLINE = click.option("--offline", is_flag=True, help="Use what is in the store; ask no index.")
_HASHES = click.option(
    "--require-hashes", is_flag=True, help="Take no wheel that the project names no hash of."
)
SUMMARY = click.option(
    "--summary", type=_PATH, metavar="FILE", help="Write what a job's summary shows behind a file's end."
)
TALK = (json_option, click.option("--quiet", "-q", is_flag=True, help="Print errors only."))


def project_options(command: Command) -> Command:
    """Add the argument and the options of the commands that work on a project."""
    return click.argument("project", default=".", type=click.Path(path_type=Path))(session_options(command))


def session_options(command: Command) -> Command:
    """Add the options of the commands that read a project."""
    return with_options(command, *TARGETS, *_RESOLVING, *_FILES, _ENGINE, _OFFLINE, _HASHES, *TALK)


def target_options(command: Command) -> Command:
    """Add the options of the commands that want to know a project's targets alone."""
    return with_options(command, *TARGETS, *TALK)


def built_options(command: Command) -> Command:
    """Add the options of the commands that read what was built."""
    return with_options(command, *TARGETS, *_FILES, *TALK)


def with_options(command: Command, *options: Any) -> Command:
    """Add options to a command, in the order in which its help shall name them."""
    for option in reversed(options):
        command = option(command)
    return command


def engines(options: dict[str, Any]) -> Engines:
    """Return the way to an engine for a command that reads no project."""
    from layerkit.engines import Engines, rule_of

    return Engines(rule=rule_of(options["engine"], None), talk=talk(options))


def opened(options: dict[str, Any]) -> Session:
    """Return what a command works with, from the options of `project_options` or some of them."""
    from msgspec.structs import replace

    from layerkit.progress import progress
    from layerkit.session import open_session

    session = open_session(
        options["project"],
        runtimes=options["runtime"],
        architectures=options["arch"],
        sdk=options.get("sdk"),
        sdk_version=options.get("sdk_version"),
        layout=options.get("layout"),
        output=options.get("output"),
        name=options.get("name"),
        version=options.get("project_version"),
        offline=options.get("offline", False),
        engine=options.get("engine"),
        talk=talk(options),
        progress=progress(quiet=options["quiet"]),
    )
    return replace(session, require_hashes=True) if options.get("require_hashes") else session
