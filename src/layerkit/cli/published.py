"""The commands about layers that are published, and references to them: list, prune, diff, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerkit.cli.aws_options import (
    ACCOUNTS,
    BUCKET,
    NAME,
    PATH,
    PROJECT,
    RECORD,
    REGION,
    WORDS,
    account_options,
)
from layerkit.cli.console import print_json, talk
from layerkit.cli.options import built_options, json_option, opened, with_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerkit.publish.export import References
    from layerkit.publish.listing import Listed
    from layerkit.publish.places import Place

Command = Any
_FORMATS = ("sam", "cloudformation", "cdk", "terraform", "serverless", "json", "ssm")


def _looking_options(command: Command) -> Command:
    return with_options(command, PROJECT, REGION, *ACCOUNTS, NAME)


@click.command("list")
@_looking_options
@built_options
def list_(*, as_json: bool, **options: Any) -> None:
    """List what is published of the project, and which functions use it."""
    from msgspec import to_builtins

    from layerkit.report.publishing import show_listed

    _, found = _published(options)
    if as_json:
        print_json("list", {"layers": to_builtins(found)})
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
    from msgspec import to_builtins

    from layerkit.publish import pruning
    from layerkit.report.publishing import show_pruned

    places, found = _published(options)
    judged = pruning.judged(found, places, keep, shared=also_shared)
    say = talk(options)
    if delete:
        judged = pruning.delete(judged, places, lambda each: say(f"deleted {each.one.arn}"))
    if as_json:
        rows = [{**to_builtins(each.one), "fate": each.fate} for each in judged]
        print_json("prune", {"deleted": delete, "layers": rows})
        return
    show_pruned(judged)
    if not delete and any(each.fate == "to-delete" for each in judged):
        say("nothing was deleted: --delete does it")


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@account_options
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
    from msgspec import to_builtins

    from layerkit.publish.contents import contents
    from layerkit.publish.diff import diff as compare
    from layerkit.report.publishing import diff_markdown, show_diff

    found = compare(contents(before, profile, role_arn), contents(after, profile, role_arn))
    if as_json or form == "json":
        print_json("diff", to_builtins(found))
    elif form == "markdown":
        click.echo(diff_markdown(found))
    else:
        show_diff(found)


def _export_options(command: Command) -> Command:
    return with_options(
        command,
        PROJECT,
        click.option(
            "--format", "form", type=click.Choice(_FORMATS), required=True, help="The tool it is for."
        ),
        click.option("--published", is_flag=True, help="The ARNs of published versions, not the built zips."),
        click.option("--region", multiple=True, metavar="REGION", help="Of published versions, those there."),
        click.option("--account", metavar="ID", help="Of published versions, those of one account."),
        *WORDS,
        *BUCKET,
        RECORD,
        click.option("--to", type=PATH, metavar="FILE", help="Where it is written; else it is printed."),
    )


@click.command()
@_export_options
@built_options
def export(*, form: str, published: bool, to: Path | None, as_json: bool, **options: Any) -> None:
    """Write references to the layers as another tool wants them: the built zips, or published versions."""
    from layerkit.output import write_bytes
    from layerkit.publish.export import FORMATS, copies

    found = _references(options, published=published, base=(to.parent if to else Path()).absolute())
    text = FORMATS[form](found)
    if to is not None:
        write_bytes(to.absolute(), text.encode())
    if as_json:
        print_json("export", {"format": form, "file": str(to) if to else None, "text": text})
    elif to is None:
        click.echo(text, nl=False)
    else:
        click.echo(to)
    if form == "cloudformation" and not published:
        for command in copies(found):
            talk(options)(command)


def _references(options: dict[str, Any], *, published: bool, base: Path) -> References:
    """Return what there is to refer to."""
    from layerkit.publish import export as exports
    from layerkit.publish.record import read
    from layerkit.publish.settings import built_stacks, order, settings

    session = opened(options)
    chosen = settings(session.project, options)
    if published:
        found = read(chosen.record)
        stacks = built_stacks(session)
        return exports.published(found, stacks, account=options["account"], regions=options["region"])
    ordered = order(session, chosen, ())
    project = session.project
    return exports.built(
        project.name, project.version, ordered.zips, ordered.stacks.layers, base=base, bucket=chosen.bucket
    )


def _published(options: dict[str, Any]) -> tuple[Sequence[Place], Sequence[Listed]]:
    """Return where was looked, and what is published there of the project."""
    from layerkit.publish.listing import listed
    from layerkit.publish.places import open_places
    from layerkit.publish.settings import name_form, settings

    session = opened(options)
    chosen = settings(session.project, options)
    places = open_places(chosen.accounts)
    return places, listed(places, name_form(session.project, chosen.templates.name))
