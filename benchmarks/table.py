"""The figures as people read them: Markdown that is also a table in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from figures import (
    COLD_OURS,
    COLD_PEER,
    FIRST,
    FLOOR,
    MEGABYTE,
    OURS,
    PLAIN,
    REPOSITORY,
    SDK_DEFAULT,
    UNCHANGED,
    VERSION,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from figures import Figures, Verdict

ABSENT = "-"

OURS_LABELS = {
    FLOOR: "`cat` of the wheels to a file (the floor)",
    OURS: "layerkit build, warm",
    FIRST: "layerkit build, wheels on disk, nothing prepared",
    PLAIN: "layerkit build, warm, bytecode = false",
    SDK_DEFAULT: 'layerkit build, warm, sdk = "auto" (the default)',
}

COLD_LABELS = {
    COLD_PEER: "from uv + zip -r: no bytecode",
    COLD_OURS: "from layerkit: bytecode that is valid",
}

NOTES = """\
All tools get the same exact pins and the same wheels for python3.12 on x86_64 (glibc 2.34). Caches are warm,
each run starts without output, and the runs of all tools alternate. Warm means for layerkit: the wheels and
prepared wheels in the store, the lock current, the output folder removed. Peers read from an index on the
same machine, so no figure holds a network. pip alone writes bytecode, into its zip as well; its row with
`--no-compile` is the like-for-like one, shown for that reason and no part of the promises. `sam build` ends
at a folder: its zip would come on top.

Where a set holds boto3 or botocore (sdk, big) layerkit is told `sdk = "bundle"`, since no peer leaves the
runtime's SDK out; its default, which leaves it out of sdk, is shown in a row of its own. The set big unpacks
to more than Lambda takes, which peers build without a word and layerkit refuses: it builds the same packages
as the layers of two functions."""


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: its columns stand under each other, figures to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        figures = [cell.strip().rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        return f"| {' | '.join([first, *figures])} |"

    rule = "|".join([f":{'-' * (widths[0] + 1)}", *(f"{'-' * (width + 1)}:" for width in widths[1:])])
    return "\n".join([line(head), f"|{rule}|", *(line(row) for row in rows)])


def by_set(
    title: str,
    names: Sequence[str],
    labels: dict[str, str],
    value: Callable[[str, str], float | None],
    form: str,
) -> str:
    """Return one table: a line for each row that was measured at all, a column for each set."""
    rows = []
    for row, label in labels.items():
        values = [value(name, row) for name in names]
        if any(found is not None for found in values):
            rows.append([label, *(ABSENT if found is None else format(found, form) for found in values)])
    return aligned([title, *names], rows)


def megabytes(figures: Figures, *, zipped: bool, plain: bool) -> Callable[[str, str], float | None]:
    """Return what looks up the weight of a row's product."""

    def value(name: str, row: str) -> float | None:
        found = figures.weight(name, row, zipped=zipped, plain=plain)
        return None if found is None else found / MEGABYTE

    return value


def single_figures(figures: Figures) -> str:
    """Return the figures that belong to no set."""
    rows = [
        [label, ABSENT if value is None else f"{value:.3f}"]
        for label, value in (
            ("layerkit build of lambda/, nothing changed", figures.seconds(REPOSITORY, UNCHANGED)),
            ("layerkit --version", figures.seconds(REPOSITORY, VERSION)),
        )
    ]
    return aligned(["wall seconds", "median"], rows)


def promises(verdicts: Sequence[Verdict]) -> str:
    """Return the promises as a list, each with its verdict and figures."""
    return "\n".join(f"- **{one.word}**: {one.promise} ({one.figures})" for one in verdicts)


def report(
    figures: Figures,
    names: Sequence[str],
    peers: dict[str, str],
    verdicts: Sequence[Verdict],
    remarks: Sequence[str],
) -> str:
    """Return the whole page but for the machine: tables, promises, and what went wrong or was left out."""
    labels = OURS_LABELS | peers
    parts = [
        "## Wall seconds, median",
        by_set("wall seconds", names, labels, figures.seconds, ".3f"),
        single_figures(figures),
        "## How many times longer than layerkit's warm build",
        by_set("ratio", names, peers, figures.ratio, ".1f"),
        "## Peak memory, megabytes",
        by_set(
            "MB", names, {row: label for row, label in labels.items() if row != FLOOR}, figures.peak, ".0f"
        ),
        "## Megabytes of the zips",
        by_set("zipped", names, labels, megabytes(figures, zipped=True, plain=False), ".2f"),
        by_set("zipped without bytecode", names, labels, megabytes(figures, zipped=True, plain=True), ".2f"),
        by_set("unzipped", names, labels, megabytes(figures, zipped=False, plain=False), ".2f"),
        by_set(
            "unzipped without bytecode", names, labels, megabytes(figures, zipped=False, plain=True), ".2f"
        ),
        "## Seconds of the first imports, from layers that nobody has read yet",
        by_set("wall seconds", names, COLD_LABELS, figures.seconds, ".3f"),
        by_set(
            "share",
            names,
            {COLD_OURS: "of the time without bytecode"},
            lambda name, row: figures.ratio(name, row, COLD_PEER),
            ".2f",
        ),
        "## Promises",
        promises(verdicts),
        "## How to read this",
        NOTES,
    ]
    if remarks:
        parts += ["## Left out or failed", "\n".join(f"- {remark}" for remark in remarks)]
    return "\n\n".join(parts) + "\n"
