"""The command that shows what is known of Lambda's runtimes."""

from __future__ import annotations

import click

from layerkit.cli.console import print_json
from layerkit.cli.options import json_option


@click.command()
@json_option
@click.option("--all", "everything", is_flag=True, help="Show the runtimes that AWS supports no longer, too.")
def runtimes(*, as_json: bool, everything: bool) -> None:
    """Show what is known of each Lambda runtime, with sources and dates."""
    from layerkit.report import show_runtimes
    from layerkit.target import facts

    if as_json:
        print_json("runtimes", facts())
    else:
        show_runtimes(everything=everything)
