"""The commands about the store."""

from __future__ import annotations

import click

from layerkit.cli.console import print_json
from layerkit.cli.options import json_option
from layerkit.errors import UsageError


@click.group()
def cache() -> None:
    """Look at the store of wheels and prepared wheels, and make it smaller."""


@cache.command("dir")
@json_option
def cache_dir(*, as_json: bool) -> None:
    """Print the folder of the store."""
    from layerkit.store import Store

    folder = str(Store.default().root)
    if as_json:
        print_json("cache", {"dir": folder})
    else:
        click.echo(folder)


@cache.command("size")
@json_option
def cache_size(*, as_json: bool) -> None:
    """Print what each kind of entry takes."""
    from layerkit.report import human
    from layerkit.store import Store

    store = Store.default()
    usage = store.size()
    if as_json:
        kinds = {kind: {"files": one.files, "bytes": one.bytes} for kind, one in usage.items()}
        print_json("cache", {"dir": str(store.root), "kinds": kinds})
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
@json_option
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
        print_json(
            "cache", {"dir": str(store.root), "removed": {"files": removed.files, "bytes": removed.bytes}}
        )
    else:
        click.echo(f"removed {removed.files} files, {human(removed.bytes)}", err=True)


@cache.command("clean")
@json_option
def cache_clean(*, as_json: bool) -> None:
    """Remove every entry of the store."""
    from layerkit.report import human
    from layerkit.store import Store

    store = Store.default()
    removed = store.clean()
    if as_json:
        print_json(
            "cache", {"dir": str(store.root), "removed": {"files": removed.files, "bytes": removed.bytes}}
        )
    else:
        click.echo(f"removed {removed.files} files, {human(removed.bytes)}", err=True)
