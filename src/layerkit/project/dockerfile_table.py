"""The keys of a layer that is made by a Dockerfile, and where its files are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from layerkit.project.requirement import resolved
from layerkit.project.specs import Dockerfile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerkit.project.faults import Faults
    from layerkit.project.tables import Table

__all__ = ["KEYS", "DockerfileTable", "located", "read"]

KEYS = ("dockerfile", "context", "target", "args")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DockerfileTable(Struct, frozen=True, kw_only=True):
    """The keys as written; `path` is the layer's place in the file."""

    path: str
    dockerfile: str
    context: str | None = None
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()


def read(table: Table) -> DockerfileTable | None:
    """Return what a layer says of its Dockerfile, None where it has none."""
    dockerfile = table.string("dockerfile")
    if dockerfile is None:
        for key in KEYS[1:]:
            if key in table.values and "dockerfile" not in table.values:
                table.faults.add(table.at(key), "this says nothing without `dockerfile`")
        return None
    return DockerfileTable(
        path=table.path,
        dockerfile=dockerfile,
        context=table.string("context"),
        target=table.string("target") or "",
        args=tuple(sorted(_arguments(table))),
    )


def _arguments(table: Table) -> Iterator[tuple[str, str]]:
    """Yield the values for ARG lines."""
    for name, path, value in table.tables("args"):
        if _ARGUMENT.fullmatch(name) is None:
            table.faults.add(path, f"{name!r} is no name of an ARG")
        elif not isinstance(value, str):
            table.faults.add(path, "the value has to be a string")
        else:
            yield name, value


def located(table: DockerfileTable, root: Path, faults: Faults) -> Dockerfile:
    """Return the Dockerfile with absolute paths; what is not there is a fault.

    Without a word, the context is the folder that the Dockerfile lies in.
    """
    path = resolved(root / table.dockerfile)
    context = path.parent if table.context is None else resolved(root / table.context)
    if not path.is_file():
        faults.add(f"{table.path}.dockerfile", f"there is no file {table.dockerfile!r}")
    elif not context.is_dir():
        faults.add(f"{table.path}.context", f"there is no folder {table.context!r}")
    return Dockerfile(path=path, context=context, target=table.target, args=table.args)
