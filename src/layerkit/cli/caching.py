"""The commands about the store."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
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
    "--store",
    metavar="ADDRESS",
    help="The shared store; by default LAYERKIT_STORE, else what pyproject.toml in this folder names.",
)


def _levels(said: str | None) -> tuple[Store, SharedStore | None]:
    """Return the store, and once more where it has a second level."""
    from layerkit.shared import ADDRESS, SharedStore, open_store

    if said:
        store = open_store(said, _say, where="--store", environment={})
    else:
        store = open_store(None if os.environ.get(ADDRESS) else _of_project(), _say)
    return store, store if isinstance(store, SharedStore) else None


def _say(text: str) -> None:
    click.echo(text, err=True)


def _of_project() -> str | None:
    """Return what the project in this folder names, where there is one; its other faults matter nothing."""
    from layerkit.toml import parse

    with suppress(OSError, ValueError, KeyError, TypeError):
        said = parse(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["layerkit"]["store"]
        return said if isinstance(said, str) else None
    return None


@click.group()
def cache() -> None:
    """Look at the store of wheels, prepared wheels and layers, and make it smaller."""


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
    if as_json:
        usage, beyond = near.size(), far.far_size() if far else {}
        shared = {"address": str(far.far), "kinds": _kinds(beyond), "counts": far.counted()} if far else None
        print_json("cache", {"dir": str(near.root), "kinds": _kinds(usage), "shared": shared})
        return
    _show_usage(str(near.root), near.size())
    if far:
        _show_counts(far.counted())
        _show_usage(str(far.far), far.far_size())


def _kinds(usage: Mapping[str, Usage]) -> dict[str, dict[str, int]]:
    return {kind: {"files": one.files, "bytes": one.bytes} for kind, one in usage.items()}


def _show_usage(where: str, usage: Mapping[str, Usage]) -> None:
    """Print what lies in one level, by kind, and all of it."""
    from layerkit.report import human
    from layerkit.store import Usage

    total = Usage()
    click.echo(f"{where}:")
    for kind, one in usage.items():
        total = Usage(files=total.files + one.files, bytes=total.bytes + one.bytes)
        click.echo(f"  {kind:<14}{one.files:>8} files {human(one.bytes):>10}")
    click.echo(f"  {'in all':<14}{total.files:>8} files {human(total.bytes):>10}")


def _show_counts(counts: Mapping[str, int]) -> None:
    """Say how often the shared store had what was wanted, on this machine so far."""
    from layerkit.report import human

    hits, misses = counts.get("hits", 0), counts.get("misses", 0)
    received, sent = human(counts.get("received", 0)), human(counts.get("sent", 0))
    click.echo(f"  of the shared store: {hits} hits, {misses} misses, {received} received, {sent} sent")


@cache.command("prune")
@click.option(
    "--max-size", metavar="SIZE", help="Keep so much, such as 10GB; least recently used goes first."
)
@click.option(
    "--max-age",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Remove what was not used so long; with --shared, what was sent so long ago.",
)
@click.option("--shared", is_flag=True, help="In the shared store, not in this machine's folder.")
@_store_option
@json_option
def cache_prune(
    *, max_size: str | None, max_age: float | None, shared: bool, store: str | None, as_json: bool
) -> None:
    """Remove what was not used for long, or what is too much."""
    from layerkit.report import human, parse_size

    if max_size is None and max_age is None:
        raise UsageError("nothing says what to remove", fix="give --max-size, --max-age or both")
    if store and not shared:
        raise UsageError("--store names the shared store, and nothing says to prune that", fix="add --shared")
    limit = parse_size(max_size) if max_size is not None else None
    near, far = _levels(store)
    if not shared:
        removed = near.prune(max_bytes=limit, max_age_days=max_age)
    elif far:
        removed = far.far_prune(now=time.time(), max_bytes=limit, max_age_days=max_age)
    else:
        raise UsageError(
            "nothing says where the shared store is",
            fix="give --store s3://BUCKET/PREFIX, or set LAYERKIT_STORE",
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
