"""What people see of layers on AWS: tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.report import console, counted, human

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from layerkit.publish.diff import Diff, Side
    from layerkit.publish.listing import Listed
    from layerkit.publish.pruning import Pruned
    from layerkit.publish.run import Run

_WORDS = {
    "to-publish": "to be published",
    "to-update": "to be updated",
    "not-tried": "not tried",
    "unknown": "unknown, look again",
}


def show_run(run: Run) -> None:
    """Draw what is where after a run, or would be."""
    out = console()
    table = _table("layers", ("account", "region", "layer", "size", "through", "status", "version"))
    for row in run.layers.values():
        granted = f", {counted(len(row.granted), 'grant')}" if row.granted else ""
        status = _WORDS.get(row.status, row.status) + granted
        size, through = human(row.zipped), row.through.partition("//")[0].rstrip(":")
        table.add_row(row.account, row.region, row.layer, size, through, status, row.arn or row.name)
    out.print(table)
    if run.functions:
        columns = ("account", "region", "function", "unzipped", "status", "layers")
        functions = _table("functions", columns)
        for one in run.functions.values():
            unzipped = human(one.unzipped) if one.unzipped is not None else ""
            status = _WORDS.get(one.status, one.status)
            layers = "\n".join(arn + (" (kept)" if arn in one.foreign else "") for arn in one.layers)
            functions.add_row(one.account, one.region, one.function, unzipped, status, layers)
        out.print(functions)


def show_listed(found: Sequence[Listed]) -> None:
    """Draw what is published."""
    out, table = (
        console(),
        _table("published layers", ("layer", "version", "created", "size", "sha256", "used by")),
    )
    for one in found:
        table.add_row(
            _placed(one), str(one.version), one.created[:10], human(one.size), one.sha256[:12], _users(one)
        )
    out.print(table)


def show_pruned(judged: Sequence[Pruned]) -> None:
    """Draw what becomes of each version, and what that frees."""
    words = {"to-delete": "to be deleted", "newest": "kept, among the newest"}
    words |= {"used": "kept, in use", "shared": "kept, shared", "deleted": "deleted"}
    out, table = console(), _table("published layers", ("layer", "version", "created", "size", "", "used by"))
    for each in judged:
        one, word = each.one, words[each.fate]
        table.add_row(_placed(one), str(one.version), one.created[:10], human(one.size), word, _users(one))
    out.print(table)


def _table(title: str, columns: Iterable[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column, overflow="fold", justify="right" if column in {"size", "unzipped"} else "left"
        )
    return table


def _placed(one: Listed) -> str:
    return f"{one.name}\n{one.account} {one.region}"


def _users(one: Listed) -> str:
    return "\n".join(one.used_by)


def show_diff(found: Diff) -> None:
    """Draw what is different."""
    out, table = console(), _table("changes", ("package", "", "before", "after", "size"))
    for one in found.changes:
        table.add_row(one.package, one.kind, _side(one.before), _side(one.after), _more(one.bytes))
    if found.changes:
        out.print(table)
    for line in _sums(found):
        out.print(line, markup=False, highlight=False)


def diff_markdown(found: Diff) -> str:
    """Return what is different as a table for a pull request."""
    rows = [
        f"| {one.package} | {one.kind} | {_side(one.before)} | {_side(one.after)} | {_more(one.bytes)} |"
        for one in found.changes
    ]
    head = ["| package | | before | after | bytes |", "|---|---|---|---|---:|"] if rows else []
    return "\n".join([*head, *rows, *([""] if rows else []), "\n\n".join(_sums(found))])


def _side(side: Side | None) -> str:
    if side is None:
        return ""
    return f"{side.version} ({human(side.unzipped)})" + (
        f" in {', '.join(side.layers)}" if side.layers else ""
    )


def _more(count: int) -> str:
    return f"{'+' if count > 0 else '-' if count < 0 else ''}{human(abs(count))}"


def _sums(found: Diff) -> list[str]:
    """Return the sums in sentences."""
    before, after = found.before, found.after
    if not found.changes:
        sums = [f"the same {counted(before.packages, 'package')}"]
    else:
        sums = [f"{counted(before.packages, 'package')} before, {after.packages} after"]
    for word, one, other in (
        ("unzipped", before.unzipped, after.unzipped),
        ("zipped", before.zipped, after.zipped),
    ):
        sums.append(f"{word} {human(one)} before, {human(other)} after ({_more(other - one)})")
    if before.other or after.other:
        sums.append(f"in no package: {human(before.other)} before, {human(after.other)} after")
    return sums
