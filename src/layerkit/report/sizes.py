"""What preparing did to each package's size: the tables of `build --explain-size`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from layerkit.report import human
from layerkit.slim.table import table as slim_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from layerkit.layer.manifest import Layer, Manifest, Package

_STEPS: dict[str, str] = {
    "strip": "symbol and debug tables of shared libraries and programs",
    "bytecode": "what cold starts need not compile",
    "no-bytecode": "modules that no Python of this version compiles",
    "sources-replaced-by-bytecode": "the project wants bytecode only",
    "aws-services": "the project says which services it uses",
    "installer-records": "what other installers wrote about their doing",
    "scripts-replaced-by-launchers": "commands that get a launcher of layerkit",
    "shipped-bytecode": "bytecode of another interpreter, or of another day",
}


def sizes_json(manifest: Manifest) -> list[dict[str, Any]]:
    """Return what `build --json --explain-size` says of one target."""
    return [
        {
            "layer": layer.name,
            "package": package.name,
            "version": package.version,
            "before": _before(package),
            "after": package.unzipped,
            "effects": to_builtins(package.effects),
        }
        for layer, package in _packages(manifest)
    ]


def show_sizes(manifest: Manifest) -> None:
    """Draw, on stderr, the packages with what each rule did to them, then the rules; the largest first."""
    import sys

    from rich.console import Console

    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    _draw_packages(manifest, console)
    _draw_rules(manifest, console)


def _draw_packages(manifest: Manifest, console: Console) -> None:
    from rich.table import Table

    key = f"{manifest.target.runtime}-{manifest.target.arch}"
    table = Table(title=f"{key}: bytes unzipped", title_justify="left")
    for column in ("layer", "package", "before", "after", "%"):
        table.add_column(column, justify="left" if column in {"layer", "package"} else "right")
    table.add_column("by", overflow="fold")
    packages = sorted(_packages(manifest), key=lambda pair: pair[1].unzipped - _before(pair[1]))
    for layer, package in packages:
        before = _before(package)
        effects = sorted(package.effects, key=lambda effect: effect.bytes)
        by = ", ".join(f"{one.rule} {_signed(one.bytes)} ({one.files})" for one in effects if one.files)
        share = f"{100 * package.unzipped / before:.0f}" if before else "-"
        table.add_row(layer.name, package.name, human(before), human(package.unzipped), share, by)
    before, after = (sum(f(package) for _, package in packages) for f in (_before, _after))
    table.add_row(
        "", "all", human(before), human(after), f"{100 * after / before:.0f}" if before else "-", ""
    )
    console.print(table)


def _draw_rules(manifest: Manifest, console: Console) -> None:
    from rich.table import Table

    reasons = _STEPS | {row.name: row.reason for row in slim_table().rows}
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for _, package in _packages(manifest):
        for effect in package.effects:
            files[effect.rule] += effect.files
            sizes[effect.rule] += effect.bytes
    table = Table()
    for column in ("rule", "files", "bytes"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    table.add_column("why", overflow="fold")
    for rule, size in sorted(sizes.items(), key=lambda item: item[1]):
        table.add_row(rule, str(files[rule]), _signed(size), reasons.get(rule, "a row of the project"))
    console.print(table)


def _packages(manifest: Manifest) -> Iterator[tuple[Layer, Package]]:
    return ((layer, package) for layer in manifest.layers for package in layer.packages)


def _before(package: Package) -> int:
    """Return what the package would be without what preparing did to it."""
    return package.unzipped - sum(effect.bytes for effect in package.effects)


def _after(package: Package) -> int:
    return package.unzipped


def _signed(size: int) -> str:
    return f"-{human(-size)}" if size < 0 else f"+{human(size)}"
