"""The commands: thin, one function each. Data goes to stdout, talk to stderr.

Every command takes `--json` and then prints one JSON document whose schema is in schemas/. Errors
become one message and the exit code of their class (docs/exit-codes.md).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerkit import __version__
from layerkit.errors import LayerkitError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerkit.session import Session

INTERRUPTED = 130
_REPORT = "this is a fault of layerkit: please report it, with what LAYERKIT_TRACEBACK=1 shows"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Command = Any


def main() -> None:
    """Run layerkit and leave with its exit code; no traceback reaches a user.

    All files are closed and all threads joined by now, so the interpreter is not taken apart piece
    by piece: that would be a tenth of a warm build.
    """
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or StorageError.exit_code
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="layerkit", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("LAYERKIT_TRACEBACK") and not isinstance(
            error, (LayerkitError, click.ClickException)
        ):
            raise
        return _failed(error, as_json="--json" in arguments)
    # Without standalone mode, click returns the code of an Exit, and else what the command returned.
    return code if isinstance(code, int) else 0


def _failed(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong, in one message, and return the exit code for it."""
    code = LayerkitError.exit_code
    if isinstance(error, LayerkitError):
        code = error.exit_code
        _show(error, as_json=as_json)
    elif isinstance(error, click.Abort | KeyboardInterrupt):
        code = INTERRUPTED
        click.echo("interrupted; nothing half-written is left", err=True)
    elif isinstance(error, click.ClickException):
        code = UsageError.exit_code
        error.show()
    elif isinstance(error, BrokenPipeError):
        # Whoever read our output has seen enough; the interpreter must not complain at exit.
        code = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif isinstance(error, OSError):
        code = StorageError.exit_code
        click.echo(f"error: {error.strerror or error}", err=True)
    else:
        fault = f"{type(error).__name__}: {error}"
        _show(LayerkitError(fault, where="layerkit itself", fix=_REPORT), as_json=as_json)
    return code


def _show(error: LayerkitError, *, as_json: bool) -> None:
    """Show an error: as text on stderr, and with --json as a document on stdout."""
    if as_json:
        _print_json("error", error.as_json())
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)


def _print_json(command: str, document: dict[str, Any]) -> None:
    """Print a command's document, with the name of its schema in front."""
    click.echo(json.dumps({"schema": f"layerkit/{command}/1", **document}, indent=2, ensure_ascii=False))


def _project_options(command: Command) -> Command:
    """Add the argument and the options of the commands that work on a project."""
    return click.argument("project", default=".", type=click.Path(path_type=Path))(_session_options(command))


def _session_options(command: Command) -> Command:
    """Add the options of the commands that read a project."""
    path = click.Path(path_type=Path)
    options = [
        click.option(
            "--runtime", "-r", multiple=True, metavar="NAME", help="py312, 3.12, python3.12 or all."
        ),
        click.option("--arch", "-a", multiple=True, metavar="ARCH", help="x86_64 or arm64."),
        click.option("--sdk", type=click.Choice(["auto", "runtime", "bundle"]), help="Where the AWS SDK is."),
        click.option(
            "--sdk-version", metavar="VERSION", help="The version of boto3 that the runtime brings."
        ),
        click.option("--layout", type=click.Choice(["versioned", "flat"]), help="With pythonX.Y or without."),
        click.option("--output", "-o", type=path, help="Folder for the zips; dist/layers by default."),
        click.option("--name", metavar="NAME", help="Name of the project in file names."),
        click.option("--project-version", metavar="VERSION", help="Version of the project in file names."),
        click.option("--offline", is_flag=True, help="Use what is in the store; ask no index."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout."),
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _session(options: dict[str, Any]) -> Session:
    """Return what a command works with, from the options of `_project_options`."""
    from layerkit.progress import progress
    from layerkit.session import open_session

    return open_session(
        options["project"],
        runtimes=options["runtime"],
        architectures=options["arch"],
        sdk=options["sdk"],
        sdk_version=options["sdk_version"],
        layout=options["layout"],
        output=options["output"],
        name=options["name"],
        version=options["project_version"],
        offline=options["offline"],
        talk=_talk(options),
        progress=progress(quiet=options["quiet"]),
    )


def _talk(options: dict[str, Any]) -> Callable[[str], None]:
    """Return the function that talks to the user on stderr, or says nothing."""
    if options["quiet"]:
        return lambda _text: None
    return lambda text: click.echo(text, err=True)


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="layerkit", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn a Python project's dependencies into AWS Lambda layers."""


@cli.command()
@_project_options
@click.option(
    "--locked", is_flag=True, help="Fail when a lock is missing or not current, instead of renewing it."
)
def build(*, as_json: bool, locked: bool, **options: Any) -> None:
    """Build the layers of PROJECT: lock, fetch, compose, check.

    Prints the paths of the zips. What is unchanged is not built again.
    """
    from layerkit.build import build_target
    from layerkit.report import show_build

    session = _session(options)
    built = [build_target(session, target, locked=locked) for target in session.targets]
    if as_json:
        _print_json("build", {"targets": [one.as_json() for one in built]})
        return
    for one in built:
        show_build(one.manifest, session.talk, unchanged=one.unchanged)
        for path in one.paths():
            click.echo(path)


@cli.command()
@_project_options
@click.option("--upgrade", "-U", is_flag=True, help="Take the newest versions that fit.")
@click.option(
    "--upgrade-package", "-P", multiple=True, metavar="NAME", help="Take the newest version of one package."
)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; fail when a lock is not current.")
def lock(
    *, as_json: bool, upgrade: bool, upgrade_package: tuple[str, ...], only_check: bool, **options: Any
) -> None:
    """Resolve the dependencies of PROJECT and write one lock per target."""
    from layerkit.report import lock_json, show_lock
    from layerkit.session import lock_target

    session = _session(options)
    names = ("*",) if upgrade else upgrade_package
    locks = [lock_target(session, target, upgrade=names, renew=not only_check) for target in session.targets]
    if as_json:
        _print_json("lock", {"targets": [lock_json(one) for one in locks]})
        return
    for one in locks:
        show_lock(one, session.talk)
        click.echo(one.path)


@cli.command()
@_project_options
def plan(*, as_json: bool, **options: Any) -> None:
    """Show what goes into which layer and why; write no zip."""
    from layerkit.build import plan_target
    from layerkit.report import show_plan

    session = _session(options)
    plans = [plan_target(session, target) for target in session.targets]
    if as_json:
        _print_json("plan", {"targets": [one.as_json() for one in plans]})
        return
    for one in plans:
        show_plan(one)


@cli.command()
@click.argument("zips", nargs=-1, metavar="[ZIPS]...", type=click.Path(path_type=Path))
@_session_options
@click.option(
    "--project", default=".", type=click.Path(path_type=Path), help="The project whose build to check."
)
@click.option("--function", "code", type=click.Path(path_type=Path), help="Zip of the function's own code.")
def check(*, zips: tuple[Path, ...], code: Path | None, as_json: bool, **options: Any) -> None:
    """Open finished zips again and check them as a function would find them.

    Without ZIPS: the layers that the project's last build wrote. With ZIPS, ours or anybody's: the
    layers of one function, the lowest first; then --runtime says for which.
    """
    from layerkit.inspection import check_built, check_given
    from layerkit.report import show_findings

    if zips or code:
        reports = check_given(zips, code, options["runtime"], options["arch"], options["sdk_version"])
    else:
        session = _session(options)
        reports = [pair for target in session.targets for pair in check_built(session, target)]
    if as_json:
        _print_json("check", {"targets": [{"stack": name, **one.as_json()} for name, one in reports]})
    else:
        for name, one in reports:
            show_findings(name, one, _talk(options))
    failed = 0
    for _, one in reports:
        try:
            one.raise_for_errors()
        except LayerkitError as error:  # noqa: PERF203 - one per function
            # With --json the findings are on stdout already: one document per command.
            _show(error, as_json=False)
            failed = max(failed, error.exit_code)
    if failed:
        raise click.exceptions.Exit(failed)


@cli.command()
@_project_options
@click.option(
    "--reverse", metavar="PACKAGE", help="Show what needs PACKAGE, up to the project's own requirements."
)
@click.option("--depth", type=click.IntRange(min=0), help="Show so many levels only.")
def tree(*, as_json: bool, reverse: str | None, depth: int | None, **options: Any) -> None:
    """Draw what needs what, from the lock, with unpacked sizes."""
    from layerkit.inspection import tree_target
    from layerkit.tree import draw

    session = _session(options)
    trees = [tree_target(session, target, reverse) for target in session.targets]
    if as_json:
        _print_json("tree", {"targets": trees})
        return
    for one in trees:
        draw(one, depth)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@click.option("--all", "everything", is_flag=True, help="Show the runtimes that AWS supports no longer, too.")
def runtimes(*, as_json: bool, everything: bool) -> None:
    """Show what is known of each Lambda runtime, with sources and dates."""
    from layerkit.report import show_runtimes
    from layerkit.target import facts

    if as_json:
        _print_json("runtimes", facts())
    else:
        show_runtimes(everything=everything)


@cli.group()
def cache() -> None:
    """Look at the store of wheels and prepared wheels, and make it smaller."""


@cache.command("dir")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def cache_dir(*, as_json: bool) -> None:
    """Print the folder of the store."""
    from layerkit.store import Store

    folder = str(Store.default().root)
    if as_json:
        _print_json("cache", {"dir": folder})
    else:
        click.echo(folder)


@cache.command("size")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def cache_size(*, as_json: bool) -> None:
    """Print what each kind of entry takes."""
    from layerkit.report import human
    from layerkit.store import Store

    store = Store.default()
    usage = store.size()
    if as_json:
        kinds = {kind: {"files": one.files, "bytes": one.bytes} for kind, one in usage.items()}
        _print_json("cache", {"dir": str(store.root), "kinds": kinds})
        return
    for kind, one in usage.items():
        click.echo(f"{kind:<14}{one.files:>8} files {human(one.bytes):>10}")


@cache.command("prune")
@click.option(
    "--max-size", metavar="SIZE", help="Keep so much, such as 10GB; least recently used goes first."
)
@click.option(
    "--max-age", type=click.FloatRange(min=0), metavar="DAYS", help="Remove what was not used so long."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def cache_prune(*, max_size: str | None, max_age: float | None, as_json: bool) -> None:
    """Remove what was not used for long, or what is too much."""
    from layerkit.report import human, parse_size
    from layerkit.store import Store

    if max_size is None and max_age is None:
        raise UsageError("nothing says what to remove", fix="give --max-size, --max-age or both")
    limit = parse_size(max_size) if max_size is not None else None
    store = Store.default()
    removed = store.prune(max_bytes=limit, max_age_days=max_age)
    if as_json:
        _print_json(
            "cache", {"dir": str(store.root), "removed": {"files": removed.files, "bytes": removed.bytes}}
        )
    else:
        click.echo(f"removed {removed.files} files, {human(removed.bytes)}", err=True)


@cache.command("clean")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def cache_clean(*, as_json: bool) -> None:
    """Remove every entry of the store."""
    from layerkit.report import human
    from layerkit.store import Store

    store = Store.default()
    removed = store.clean()
    if as_json:
        _print_json(
            "cache", {"dir": str(store.root), "removed": {"files": removed.files, "bytes": removed.bytes}}
        )
    else:
        click.echo(f"removed {removed.files} files, {human(removed.bytes)}", err=True)
