"""The command that publishes layers on AWS."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from layerkit.cli.aws_options import ACCOUNTS, BUCKET, PROJECT, RECORD, REGION, WORDS
from layerkit.cli.console import print_json, show, talk
from layerkit.cli.options import SUMMARY, built_options, opened, with_options
from layerkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerkit.publish.run import Order, Run
    from layerkit.publish.settings import Settings
    from layerkit.session import Session

Command = Any


def _publish_options(command: Command) -> Command:
    return with_options(
        command,
        PROJECT,
        REGION,
        *ACCOUNTS,
        *WORDS,
        *BUCKET,
        click.option(
            "--s3-storage", type=click.Choice(["copy", "reference"]), help="How Lambda keeps what is in S3."
        ),
        click.option("--allow-account", multiple=True, metavar="ID", help="Let an account use the layers."),
        click.option("--allow-organization", multiple=True, metavar="ID", help="Let all of one use them."),
        click.option("--public", is_flag=True, help="Let everybody use them; asks first."),
        click.option(
            "--update-function", multiple=True, metavar="[STACK=]NAME", help="Give a function its layers."
        ),
        click.option(
            "--drop-foreign-layers", is_flag=True, help="Take other layers off the functions to be updated."
        ),
        click.option("--force", is_flag=True, help="Publish also what is there already."),
        click.option("--dry-run", is_flag=True, help="Show all of it, and change nothing."),
        click.option("--yes", "-y", is_flag=True, help="Ask nothing."),
        RECORD,
        SUMMARY,
    )  # fmt: skip


@click.command()
@click.argument("layers", nargs=-1, metavar="[LAYER]...")
@_publish_options
@built_options
def publish(
    *, layers: tuple[str, ...], as_json: bool, dry_run: bool, summary: Path | None, **options: Any
) -> None:
    """Publish the built layers on AWS, those whose content changed; without LAYER all of them."""
    from layerkit.publish.places import open_places
    from layerkit.publish.run import Run
    from layerkit.publish.settings import order, settings

    session = opened(options)
    chosen = settings(session.project, options)
    ordered = order(session, chosen, layers)
    if chosen.grants.public and not dry_run and not options["yes"]:
        _ask_for_public(ordered)
    places = open_places(chosen.accounts)
    run = Run(ordered, places, chosen.accounts.stop)
    run.look()
    run.prove()
    if not dry_run:
        _carry_out(run, options, _noting(session, chosen))
    if summary is not None:
        from layerkit.report import markdown

        markdown.append(summary, markdown.published(run.layers.values()))
    _show(run, None if dry_run else chosen.record, as_json=as_json)
    if not as_json:
        _say(run, options, None if dry_run else chosen.record)
    _end(run)


def _ask_for_public(ordered: Order) -> None:
    """Have the user say that everybody may use the layers."""
    names = ", ".join(zip_.name for zip_ in ordered.zips)
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to say yes to public layers", fix="say it beforehand: --yes")
    click.confirm(f"Let everybody on AWS use {names}?", abort=True, err=True)


def _noting(session: Session, chosen: Settings) -> Callable[[Run], None]:
    """Return who writes the record after every change."""
    from layerkit.publish.record import open_record, write

    before = open_record(chosen.record, session.project)
    return lambda run: write(before.merged(run.layers.values(), run.functions.values()), chosen.record)


def _carry_out(run: Run, options: dict[str, Any], note: Callable[[Run], None]) -> None:
    from layerkit.progress import progress

    try:
        run.carry_out(progress(quiet=options["quiet"], doing="publishing", what="layer"), note)
    except KeyboardInterrupt:
        talk(options)("what is where stands in the record; the same command finishes it")
        raise


def _show(run: Run, record: Path | None, *, as_json: bool) -> None:
    from msgspec import to_builtins

    from layerkit.report.publishing import show_run

    if not as_json:
        show_run(run)
        return
    layers, functions = list(run.layers.values()), list(run.functions.values())
    document = {"dry_run": record is None, "record": str(record) if record else None}
    print_json("publish", {**document, "layers": to_builtins(layers), "functions": to_builtins(functions)})


def _say(run: Run, options: dict[str, Any], record: Path | None) -> None:
    """Say what a table cannot: that nothing had to be done, and where it is written down."""
    say = talk(options)
    if all(row.status == "unchanged" and not row.granted for row in run.layers.values()):
        say("nothing to publish: every layer is there already")
    for note in run.notes:
        say(note)
    if record:
        say(f"what is where: {record}")


def _end(run: Run) -> None:
    """End with the code of what failed, each failure in words; with --json all else is on stdout already."""
    for error in run.errors:
        show(error, as_json=False)
    if run.errors:
        raise click.exceptions.Exit(max(error.exit_code for error in run.errors))
