"""The commands about layers on AWS: publish, list, prune, diff."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerkit.cli.console import print_json, show, talk
from layerkit.cli.options import built_options, json_option, opened, with_options
from layerkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.publish.listing import Listed
    from layerkit.publish.places import Place
    from layerkit.publish.run import Order, Run
    from layerkit.publish.settings import Settings
    from layerkit.session import Session

Command = Any
_PATH = click.Path(path_type=Path)
_PROJECT = click.option("--project", default=".", type=_PATH, help="The project whose layers these are.")
_PLACES = (
    click.option("--region", multiple=True, metavar="REGION", help="Where; several times for several."),
    click.option(
        "--profile", multiple=True, metavar="NAME", help="As whom; several times for several accounts."
    ),
    click.option("--role-arn", multiple=True, metavar="ARN", help="A role to take on first."),
)
_NAMES = (
    click.option(
        "--name-template", metavar="TEXT", help="Name on AWS, such as {py}-{project}-{version}-{layer}."
    ),
)
_RECORD = click.option("--record", type=_PATH, metavar="FILE", help="Where it is noted what is where.")
_YES = click.option("--yes", "-y", is_flag=True, help="Ask nothing.")


def _publish_options(command: Command) -> Command:
    return with_options(
        command,
        _PROJECT,
        *_PLACES,
        *_NAMES,
        click.option("--description", metavar="TEXT", help="Description; {sha256} is the digest."),
        click.option("--licence", metavar="TEXT", help="In place of the packages' licences."),
        click.option("--s3-bucket", metavar="NAME", help="For large zips; may have {region}, {account}."),
        click.option("--s3-prefix", metavar="TEXT", help="What the keys in the bucket begin with."),
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
        _YES,
        _RECORD,
    )  # fmt: skip


def _account_options(command: Command) -> Command:
    return with_options(command, *_PLACES[1:])


def _looking_options(command: Command) -> Command:
    return with_options(command, _PROJECT, *_PLACES, *_NAMES)


@click.command()
@click.argument("layers", nargs=-1, metavar="[LAYER]...")
@_publish_options
@built_options
def publish(*, layers: tuple[str, ...], as_json: bool, dry_run: bool, **options: Any) -> None:
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
    from layerkit.report.publishing import show_run
    from layerkit.values import as_json as values

    if not as_json:
        show_run(run)
        return
    layers, functions = list(run.layers.values()), list(run.functions.values())
    document = {"dry_run": record is None, "record": str(record) if record else None}
    print_json("publish", {**document, "layers": values(layers), "functions": values(functions)})


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


@click.command("list")
@_looking_options
@built_options
def list_(*, as_json: bool, **options: Any) -> None:
    """List what is published of the project, and which functions use it."""
    from layerkit.report.publishing import show_listed
    from layerkit.values import as_json as values

    _, found = _published(options)
    if as_json:
        print_json("list", {"layers": values(found)})
    else:
        show_listed(found)


@click.command()
@_looking_options
@click.option(
    "--keep", type=click.IntRange(min=0), required=True, metavar="N", help="How many of each layer stay."
)
@click.option("--also-shared", is_flag=True, help="Delete also what other accounts may use, unseen by us.")
@click.option("--delete", "--yes", "-y", "delete", is_flag=True, help="Do it; else it is only shown.")
@built_options
def prune(*, keep: int, also_shared: bool, delete: bool, as_json: bool, **options: Any) -> None:
    """Delete old versions of the project's layers that no function uses; without --delete show which."""
    from layerkit.publish import pruning
    from layerkit.report.publishing import show_pruned
    from layerkit.values import as_json as values

    places, found = _published(options)
    judged = pruning.judged(found, places, keep, shared=also_shared)
    say = talk(options)
    if delete:
        judged = pruning.delete(judged, places, lambda each: say(f"deleted {each.one.arn}"))
    if as_json:
        rows = [{**values(each.one), "fate": each.fate} for each in judged]
        print_json("prune", {"deleted": delete, "layers": rows})
        return
    show_pruned(judged)
    if not delete and any(each.fate == "to-delete" for each in judged):
        say("nothing was deleted: --delete does it")


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@_account_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    help="How to show it.",
)
@json_option
def diff(
    *, before: str, after: str, form: str, as_json: bool, profile: tuple[str, ...], role_arn: tuple[str, ...]
) -> None:
    """Compare two layers or builds: zips, manifests, or ARNs of published versions."""
    from layerkit.publish.contents import contents
    from layerkit.publish.diff import diff as compare
    from layerkit.report.publishing import diff_markdown, show_diff
    from layerkit.values import as_json as values

    found = compare(contents(before, profile, role_arn), contents(after, profile, role_arn))
    if as_json or form == "json":
        print_json("diff", values(found))
    elif form == "markdown":
        click.echo(diff_markdown(found))
    else:
        show_diff(found)


def _published(options: dict[str, Any]) -> tuple[Sequence[Place], Sequence[Listed]]:
    """Return where was looked, and what is published there of the project."""
    from layerkit.publish.listing import listed
    from layerkit.publish.places import open_places
    from layerkit.publish.settings import name_form, settings

    session = opened(options)
    chosen = settings(session.project, options)
    places = open_places(chosen.accounts)
    return places, listed(places, name_form(session.project, chosen.templates.name))
