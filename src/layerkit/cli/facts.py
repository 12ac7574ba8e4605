"""The command that shows what is known of Lambda's runtimes."""

from __future__ import annotations

from typing import Any

import click

from layerkit.cli.console import print_json, talk
from layerkit.cli.options import TALK, TARGETS, with_options


def _options(command: Any) -> Any:
    return with_options(
        command,
        click.option("--all", "everything", is_flag=True, help="Show those that AWS ended, too."),
        click.option("--refresh", is_flag=True, help="Read what the runtimes' images hold; needs Docker."),
        *TARGETS,
        click.option("--offline", is_flag=True, help="Read images that are on the engine; pull none."),
        *TALK,
    )


@click.command()
@_options
def runtimes(*, as_json: bool, everything: bool, refresh: bool, **options: Any) -> None:
    """Show what is known of each Lambda runtime, with sources and dates.

    --refresh reads the images of the runtimes that AWS supports, for the architecture of the engine's
    machine, unless --runtime and --arch name others. What they hold counts from then on.
    """
    from layerkit import image_facts
    from layerkit.report.runtimes import show_runtimes
    from layerkit.session import chosen_runtimes
    from layerkit.target import facts

    names = chosen_runtimes(options["runtime"])
    if refresh:
        _refresh(names, options)
    if as_json:
        seen = {key: found.as_json() for key, found in image_facts.read().items()}
        print_json("runtimes", {**facts(), "seen": seen})
    else:
        show_runtimes(everything=everything, names=names)


def _refresh(names: tuple[str, ...], options: dict[str, Any]) -> None:
    """Read the images, on an engine that is left when that is done."""
    from layerkit.engines import Engines, rule_of
    from layerkit.refreshing import refresh

    say = talk(options)
    with Engines(rule=rule_of(None, None), talk=say) as engines:
        refresh(engines, say, runtimes=names, architectures=options["arch"], offline=options["offline"])
