"""The commands: thin, one function each. Data goes to stdout, talk to stderr.

Every command takes `--json` and then prints one JSON document whose schema is in schemas/. Errors
become one message and the exit code of their class (docs/exit-codes.md).
"""

from __future__ import annotations

import os
import sys

import click

from layerkit import __version__
from layerkit.cli.building import build, lock, plan
from layerkit.cli.caching import cache
from layerkit.cli.console import print_json, show
from layerkit.cli.facts import runtimes
from layerkit.cli.invoking import invoke
from layerkit.cli.looking import check, sbom, tree
from layerkit.cli.matrix import matrix
from layerkit.cli.published import diff, export, list_, prune
from layerkit.cli.publishing import publish
from layerkit.errors import LayerkitError, StorageError, UsageError

INTERRUPTED = 130
_REPORT = "this is a fault of layerkit: please report it, with what LAYERKIT_TRACEBACK=1 shows"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Run layerkit and leave with its exit code; no traceback reaches a user.

    All files are closed and all threads joined by now, so the interpreter is not taken apart piece
    by piece: that would be a tenth of a warm build.
    """
    code = run(sys.argv[1:])
    if shared := sys.modules.get("layerkit.shared"):
        shared.settle(abandon=code != 0)
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
        show(error, as_json=as_json)
    elif isinstance(error, click.Abort | KeyboardInterrupt):
        code = INTERRUPTED
        click.echo("interrupted; nothing half-written is left", err=True)
    elif isinstance(error, click.ClickException):
        code = UsageError.exit_code
        if as_json:
            print_json("error", UsageError(error.format_message()).as_json())
        error.show()
    elif isinstance(error, BrokenPipeError):
        # Whoever read our output has seen enough; the interpreter must not complain at exit.
        code = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif isinstance(error, OSError):
        code = StorageError.exit_code
        failed = StorageError(error.strerror or str(error), where=_place(error))
        try:
            show(failed, as_json=as_json)
        except OSError:  # stdout itself is what cannot be written
            show(failed, as_json=False)
    else:
        fault = f"{type(error).__name__}: {error}"
        show(LayerkitError(fault, where="layerkit itself", fix=_REPORT), as_json=as_json)
    return code


def _place(error: OSError) -> str | None:
    """Return the file that an error of the system is about, where it says."""
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="layerkit", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn a Python project's dependencies into AWS Lambda layers."""


for _command in (
    build,
    lock,
    plan,
    check,
    sbom,
    tree,
    invoke,
    publish,
    list_,
    prune,
    diff,
    export,
    runtimes,
    matrix,
    cache,
):
    cli.add_command(_command)
