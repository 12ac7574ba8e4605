"""What people see of layers on AWS: tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.report import console, human

if TYPE_CHECKING:
    from layerkit.publish.run import Run

_WORDS = {
    "to-publish": "to be published",
    "to-update": "to be updated",
    "not-tried": "not tried",
    "unknown": "unknown, look again",
}


def show_run(run: Run) -> None:
    """Draw what is where after a run, or would be."""
    from rich.table import Table

    out = console()
    table = Table(title="layers", title_justify="left")
    for column in ("account", "region", "layer", "size", "through", "status", "version"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for row in run.layers.values():
        status = _WORDS.get(row.status, row.status) + (f", {len(row.granted)} grants" if row.granted else "")
        size, through = human(row.zipped), row.through.partition("//")[0].rstrip(":")
        table.add_row(row.account, row.region, row.layer, size, through, status, row.arn or row.name)
    out.print(table)
    if run.functions:
        functions = Table(title="functions", title_justify="left")
        for column in ("account", "region", "function", "unzipped", "status", "layers"):
            functions.add_column(column, overflow="fold", justify="right" if column == "unzipped" else "left")
        for one in run.functions.values():
            unzipped = human(one.unzipped) if one.unzipped is not None else ""
            status = _WORDS.get(one.status, one.status)
            layers = "\n".join(arn + (" (kept)" if arn in one.foreign else "") for arn in one.layers)
            functions.add_row(one.account, one.region, one.function, unzipped, status, layers)
        out.print(functions)
