"""What a job's summary shows, as Markdown: the layers that were built, and where they are published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.errors import StorageError
from layerkit.report import human
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from layerkit.layer.manifest import Layer, Manifest
    from layerkit.publish.record import LayerRow


def built(manifest: Manifest) -> str:
    """Return the layers of one target with their sizes, and what the stacks have of Lambda's limit."""
    most = limit("unzipped_bytes")
    layers = [_layer(one) for one in manifest.layers]
    stacks = [
        (one.name, human(one.unzipped), f"{100 * one.unzipped / most:.0f} %", ", ".join(one.layers))
        for one in manifest.stacks
    ]
    target = manifest.target
    parts = [
        f"### {manifest.project.name} {manifest.project.version}: {target.runtime} {target.arch}",
        _table(("layer", "zipped", "unzipped", "packages", "sha256"), layers),
        _table(("stack", "unzipped", "of the limit", "layers"), stacks),
        "\n".join(f"- {note}" for note in manifest.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def published(layers: Iterable[LayerRow]) -> str:
    """Return where each layer is."""
    rows = [
        (one.layer, one.account, one.region, one.status, f"`{one.arn}`" if one.arn else "") for one in layers
    ]
    return "\n\n".join(["### Published", _table(("layer", "account", "region", "", "ARN"), rows)])


def _layer(one: Layer) -> Sequence[object]:
    size = one.zip
    return one.name, human(size.zipped), human(size.unzipped), len(one.packages), f"`{size.sha256}`"


def append(path: Path, text: str) -> None:
    """Write a summary behind what stands in a file. Raises StorageError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")
    except OSError as error:
        raise StorageError(f"the summary cannot be written: {error.strerror}", where=str(path)) from error


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table, nothing where it has no row."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) if rows else ""


def _cell(value: object) -> str:
    return str("" if value is None else value).replace("|", "\\|").replace("\n", " ")
