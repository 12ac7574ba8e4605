"""What people look at: lines and tables. rich is imported only where a table is drawn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from layerkit.errors import UsageError
from layerkit.target import limit
from layerkit.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console
    from rich.text import Text

    from layerkit.check.findings import Report
    from layerkit.layer.manifest import Layer, Manifest
    from layerkit.lock import Lock
    from layerkit.plan import Plan, PlannedStack

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_BAR = 30


def human(size: int) -> str:
    """Return a number of bytes as people say it, in powers of ten: 12.3 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:  # noqa: PLR2004 - the step between the units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def parse_size(text: str) -> int:
    """Return the bytes that `10GB`, `512 MiB` or `1000` mean. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"{text!r} is no size", fix="write it like 10GB, 512MiB or 1000")
    return int(float(found[1]) * _UNITS[found[2]])


def show_engine(target_key: str, engine: Mapping[str, str], talk: Callable[[str], None]) -> None:
    """Say that no engine was used, and why; one that was used was named when it was."""
    if engine["used"] == "wheels":
        talk(f"{target_key}: engine wheels: {engine['reason']}")


def show_build(
    manifest: Manifest, talk: Callable[[str], None], *, unchanged: bool, engine: Mapping[str, str]
) -> None:
    """Say what was built for one target, or that nothing had to be."""
    key = f"{manifest.target.runtime}-{manifest.target.arch}"
    show_engine(key, engine, talk)
    if unchanged:
        talk(f"{key}: nothing to do, {counted(len(manifest.zips()), 'zip')} unchanged")
        return
    for note in manifest.notes:
        talk(f"{key}: {note}")
    if manifest.sdk.mode == "runtime":  # of the other modes the notes have said why
        talk(f"{key}: AWS SDK {_sdk_words(manifest.sdk.mode)}: {manifest.sdk.reason}")
    for layer in manifest.layers:
        one = layer.zip
        talk(
            f"  layer {layer.name}: {human(one.zipped)} zipped, {human(one.unzipped)} unzipped,"
            f" {_held(layer)}"
        )
    if not manifest.layers:
        talk(f"{key}: no layer holds a package, so there is no layer zip")
    most = limit("unzipped_bytes")
    for stack in manifest.stacks:
        share = 100 * stack.unzipped / most
        talk(f"  stack {stack.name}: {human(stack.unzipped)} unzipped, {share:.0f} % of the limit")


def _held(layer: Layer) -> str:
    """Say what a layer holds."""
    packages = counted(len(layer.packages), "package")
    if layer.opt is None:
        return packages
    files = f"{counted(layer.opt.entries, 'file')} of {layer.opt.dockerfile}"
    return f"{packages}, {files}" if layer.packages else files


def counted(count: int, what: str) -> str:
    """Return how many there are of what, in words."""
    return f"{count} {plural(count, what)}"


def _sdk_words(mode: str) -> str:
    return {"runtime": "from the runtime", "bundle": "in a layer", "absent": "in no layer"}[mode]


def lock_json(lock: Lock, engine: Mapping[str, str]) -> dict[str, Any]:
    """Return a lock's entry in what `lock --json` prints; `engine` is the one that was used."""
    return {
        "target": lock.target.key,
        "engine": dict(engine),
        "path": str(lock.path),
        "digest": lock.digest,
        "sdk": {"mode": lock.sdk.mode, "reason": lock.sdk.reason},
        "packages": [
            {"name": p.name, "version": p.version, "wheel": p.wheel.filename, "sha256": p.wheel.sha256}
            for p in lock.packages
        ],
        "notes": list(lock.notes),
    }


def show_lock(lock: Lock, talk: Callable[[str], None]) -> None:
    """Say what a lock holds."""
    talk(f"{lock.target.key}: {counted(len(lock.packages), 'package')}")
    talk(f"{lock.target.key}: AWS SDK {_sdk_words(lock.sdk.mode)}: {lock.sdk.reason}")
    for note in lock.notes:
        talk(f"{lock.target.key}: {note}")


def show_plan(plan: Plan) -> None:
    """Draw a plan: the layers with their packages, and each stack against the limit."""
    from rich.table import Table

    out = console()
    table = Table(title=f"{plan.target_key}: layers", title_justify="left")
    for column in ("layer", "packages", "zipped", "unzipped", "on top of"):
        table.add_column(column, justify="right" if "zipped" in column else "left", overflow="fold")
    for layer in plan.layers:
        names = " ".join(filter(None, [*layer.packages, layer.dockerfile])) or "(nothing of its own)"
        table.add_row(layer.name, names, human(layer.zipped), human(layer.unzipped), " ".join(layer.beneath))
    out.print(table)
    stacks = Table(title=f"{plan.target_key}: stacks", title_justify="left")
    for column in ("stack", "layers", "unzipped", f"of {human(limit('unzipped_bytes'))}"):
        stacks.add_column(column, justify="right" if column == "unzipped" else "left", overflow="fold")
    for stack in plan.stacks:
        stacks.add_row(stack.name, " ".join(stack.layers), human(stack.unzipped), _bar(stack))
    out.print(stacks)
    for left in plan.left_out:
        out.print(f"left out: {left.name} {left.version}: {left.reason}", markup=False, highlight=False)
    for note in plan.notes:
        out.print(note, markup=False, highlight=False)


def _bar(stack: PlannedStack) -> str:
    """Return how full a stack is, as a bar and in per cent."""
    share = stack.unzipped / (stack.unzipped + stack.slack)
    filled = round(share * _BAR)
    return f"{'█' * filled}{'·' * (_BAR - filled)} {100 * share:.0f} %"


def show_findings(stack: str, report: Report, talk: Callable[[str], None]) -> None:
    """Draw what a check of one stack found; say so where that is nothing."""
    checked = f"{report.target_key}: stack {stack}"
    if report.ignored:
        codes = ", ".join(sorted({each.code for each in report.ignored}))
        talk(f"{checked}: {counted(len(report.ignored), 'finding')} passed over: {codes}")
    if not report.findings:
        talk(f"{checked}: {counted(len(report.subjects), 'zip')} checked, nothing to say")
        return
    from rich.table import Table

    table = Table(title=checked, title_justify="left", show_lines=True)
    for column in ("severity", "code", "where", "what, and what to do"):
        table.add_column(column, overflow="fold", no_wrap=column in ("severity", "code"))
    for each in report.findings:
        says = f"{each.text}\n-> {each.fix}" if each.fix else each.text
        table.add_row(each.severity, each.code, _plain(each.where), _plain(says))
    console().print(table)


def show_modules(stack: str, report: Report) -> None:
    """Draw what came of importing each module inside the image, where that was done."""
    inside = report.inside
    if inside is None:
        return
    from rich.table import Table

    pip = f"pip {inside.pip}" if inside.pip else "no pip"
    title = f"{report.target_key}: stack {stack} in {inside.image} (Python {inside.python}, {pip})"
    table = Table(title=title, title_justify="left")
    for column in ("module", "package", "zip", "imported", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for one in inside.modules:
        result = "yes" if one.imported else f"no: {one.error}"
        table.add_row(*map(_plain, (one.name, one.package or "", one.zip, result)), f"{one.seconds:.2f}")
    console().print(table)


def _plain(text: str) -> Text:
    """Return words that come from elsewhere as they are: no brackets in them mean a style."""
    from rich.text import Text

    return Text(text)


def console() -> Console:
    """Return where tables go: stdout, as wide as it is; a pipe gets room for whole rows."""
    import sys

    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)
