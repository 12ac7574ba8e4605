"""The command that tells CI what to fan out over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from layerkit.cli.console import print_json
from layerkit.cli.options import opened, target_options


@click.command()
@click.argument("project", default=".", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github", "gitlab"]),
    default="text",
    help="text: a line for each; github: strategy.matrix on one line; gitlab: a child pipeline.",
)
@target_options
def matrix(*, as_json: bool, form: str, **options: Any) -> None:
    """Print the runtimes and architectures of PROJECT: a job of CI for each."""
    from layerkit.report.matrix import FORMS, include

    targets = opened(options).targets
    if as_json:
        print_json("matrix", include(targets))
    else:
        click.echo(FORMS[form](targets))
