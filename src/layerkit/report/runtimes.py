"""The table of Lambda's runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit import image_facts
from layerkit.report import console
from layerkit.target import facts, target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from layerkit.target import Target

_COLUMNS = (
    "runtime", "arch", "OS", "Python", "glibc", "boto3 (last seen)", "known from", "status", "deprecated",
    "updates end",
)  # fmt: skip


def show_runtimes(*, everything: bool, names: Collection[str] = ()) -> None:
    """Draw what is known of the runtimes, or of those named; the whole of it, with sources, is in --json."""
    from rich.table import Table

    table = Table(title=f"Lambda runtimes, as known on {facts()['generated']}", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column)
    for name, fact in facts()["runtimes"].items():
        if name in names or (not names and (everything or fact["status"] != "deprecated")):
            for row in _rows(name):
                table.add_row(*row)
    out = console()
    out.print(table)
    for line in _sources():
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _rows(runtime: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for the architectures of which the same is known."""
    fact = facts()["runtimes"][runtime]
    status, dates = fact["status"].partition(" ")[0], fact["dates"]
    known: dict[tuple[str, ...], list[str]] = {}
    for one in (target(runtime, arch) for arch in fact["architectures"]):
        known.setdefault(_known(one), []).append(one.arch)
    for values, arches in known.items():
        ends = (dates["deprecation"] or "-", dates["block_update"] or "-")
        yield (runtime, " ".join(arches), fact["os"], *values, status, *ends)


def _known(one: Target) -> tuple[str, ...]:
    """Return what can differ between architectures, and where it comes from."""
    boto3 = f"{one.sdk.boto3} ({one.sdk.seen or 'date unknown'})" if one.sdk else "unknown"
    return (one.python, ".".join(map(str, one.glibc)), boto3, "its image" if one.seen else "layerkit")


def _sources() -> Iterator[str]:
    """Yield where the facts come from."""
    seen = image_facts.read()
    for key, one in seen.items():
        yield f"{key}: {one.source}, read {one.seen}, {len(one.packages)} packages"
    if seen:
        yield f"what was read from images: {image_facts.path()}"
    for source in sorted({fact["dates"]["source"] for fact in facts()["runtimes"].values()} - {None}):
        yield f"dates: {source}"
    yield "every fact with its source: layerkit runtimes --json"
