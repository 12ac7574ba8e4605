"""The commands about the store."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from layerkit.cli.console import print_json
from layerkit.cli.options import json_option
from layerkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerkit.shared import SharedStore
    from layerkit.store import Store, Usage


_store_option = click.option(
    "--store", metavar="ADDRESS", help="The shared store; LAYERKIT_STORE by default."
)


def _levels(said: str | None) -> tuple[Store, SharedStore | None]:
    """Return the store, and once more where it has a second level."""
    from layerkit.shared import ADDRESS, SharedStore, open_store

    named = {ADDRESS: said} if said else os.environ
    store = open_store(None, lambda text: click.echo(text, err=True), environment=named)
    return store, store if isinstance(store, SharedStore) else None


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
@_store_option
@json_option
def cache_size(*, store: str | None, as_json: bool) -> None:
    """Print what each kind of entry takes, here and in the shared store."""
    near, far = _levels(store)
    usage, beyond = near.size(), far.far_size() if far else {}
    if as_json:
        shared = {"address": str(far.far), "kinds": _kinds(beyond), "counts": far.counted()} if far else None
        print_json("cache", {"dir": str(near.root), "kinds": _kinds(usage), "shared": shared})
        return
    _show_usage(usage)
    if far:
        click.echo(f"{far.far}:")
        _show_usage(beyond)
        _show_counts(far.counted())


def _kinds(usage: Mapping[str, Usage]) -> dict[str, dict[str, int]]:
    return {kind: {"files": one.files, "bytes": one.bytes} for kind, one in usage.items()}


def _show_usage(usage: Mapping[str, Usage]) -> None:
    from layerkit.report import human

    for kind, one in usage.items():
        click.echo(f"{kind:<14}{one.files:>8} files {human(one.bytes):>10}")


def _show_counts(counts: Mapping[str, int]) -> None:
    """Say how often the shared store had what was wanted, on this machine so far."""
    from layerkit.report import human

    hits, misses = counts.get("hits", 0), counts.get("misses", 0)
    received, sent = human(counts.get("received", 0)), human(counts.get("sent", 0))
    click.echo(f"from this machine: {hits} hits, {misses} misses, {received} received, {sent} sent")


@cache.command("prune")
@click.option(
    "--max-size", metavar="SIZE", help="Keep so much, such as 10GB; least recently used goes first."
)
@click.option(
    "--max-age", type=click.FloatRange(min=0), metavar="DAYS", help="Remove what was not used so long."
)
@click.option("--shared", is_flag=True, help="In the shared store instead: by the time since it was sent.")
@_store_option
@json_option
def cache_prune(
    *, max_size: str | None, max_age: float | None, shared: bool, store: str | None, as_json: bool
) -> None:
    """Remove what was not used for long, or what is too much."""
    from layerkit.report import human, parse_size

    if max_size is None and max_age is None:
        raise UsageError("nothing says what to remove", fix="give --max-size, --max-age or both")
    limit = parse_size(max_size) if max_size is not None else None
    near, far = _levels(store)
    if not shared:
        removed = near.prune(max_bytes=limit, max_age_days=max_age)
    elif far:
        removed = far.far_prune(now=time.time(), max_bytes=limit, max_age_days=max_age)
    else:
        raise UsageError(
            "nothing says where the shared store is", fix="--store s3://BUCKET/PREFIX or LAYERKIT_STORE"
        )
    where = {"address": str(far.far)} if far and shared else {"dir": str(near.root)}
    if as_json:
        print_json("cache", {**where, "removed": {"files": removed.files, "bytes": removed.bytes}})
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
