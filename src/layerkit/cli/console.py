"""What commands print: one JSON document on stdout, talk and errors on stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from layerkit.annotation import annotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerkit.errors import LayerkitError


def show(error: LayerkitError, *, as_json: bool) -> None:
    """Show an error: as text on stderr, and with --json as a document on stdout."""
    if as_json:
        print_json("error", error.as_json())
    if mark := annotation(error):
        click.echo(mark, err=True)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)


def print_json(command: str, document: dict[str, Any]) -> None:
    """Print a command's document, with the name of its schema in front."""
    click.echo(json.dumps({"schema": f"layerkit/{command}/1", **document}, indent=2, ensure_ascii=False))


def talk(options: dict[str, Any]) -> Callable[[str], None]:
    """Return the function that talks to the user on stderr, or says nothing."""
    if options["quiet"]:
        return lambda _text: None
    return lambda text: click.echo(text, err=True)
