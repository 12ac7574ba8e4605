"""The record of a project's publishing: what is where, written after every step, so that it always holds.

Nothing depends on it, for a run asks AWS what is there. It is for people, and the list of ARNs for tools.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import replace

from layerkit.errors import ConfigError, StorageError
from layerkit.layer.manifest import ProjectRef
from layerkit.output import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerkit.project import Project

SCHEMA: Final = "layerkit/published/1"
# `unknown`: the run ended while the request was on its way; the next one looks at what came of it.
Status = Literal["published", "unchanged", "to-publish", "failed", "not-tried", "unknown"]
FunctionStatus = Literal["updated", "unchanged", "to-update", "failed", "not-tried"]


class LayerRow(Struct, frozen=True, kw_only=True):
    """One layer at one place; sizes in bytes. `through` is how it gets there: direct, or its address in S3.

    `arn` and `version` are those of the version that holds the zip, as far as anybody knows. `granted` are
    the statements that the run added to the version's policy, `error` why it failed.
    """

    account: str
    region: str
    layer: str
    name: str
    targets: tuple[str, ...]
    sha256: str
    zipped: int
    unzipped: int
    through: str
    status: str = "not-tried"
    arn: str | None = None
    version: int | None = None
    granted: tuple[str, ...] = ()
    error: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells it from other rows."""
        return self.account, self.region, self.name


class FunctionRow(Struct, frozen=True, kw_only=True):
    """One function at one place: the layers it has or shall have, the lowest first, and the sum in bytes."""

    account: str
    region: str
    function: str
    stack: str
    status: str = "not-tried"
    layers: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unzipped: int | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells it from other rows."""
        return self.account, self.region, self.function


class Record(Struct, frozen=True, kw_only=True):
    """All that is known of where a project's layers are."""

    schema: Literal["layerkit/published/1"]
    project: ProjectRef
    layers: tuple[LayerRow, ...]
    functions: tuple[FunctionRow, ...]

    def merged(self, layers: Iterable[LayerRow], functions: Iterable[FunctionRow]) -> Record:
        """Return the record with newer rows; those of other places, layers and functions stay.

        Of a content that an earlier run published, a later one that failed does not lose the ARN.
        """
        mine = {row.key: row for row in self.layers}
        for row in layers:
            known = mine.get(row.key)
            if known and row.arn is None and known.sha256 == row.sha256:
                row = replace(row, arn=known.arn, version=known.version)  # noqa: PLW2901 - the same row, fuller
            mine[row.key] = row
        theirs = {row.key: row for row in self.functions} | {row.key: row for row in functions}
        return replace(self, layers=tuple(mine.values()), functions=tuple(theirs.values()))


def record_path(project: Project) -> Path:
    """Return where the record of a project's version lies, unless it is wanted elsewhere."""
    return project.output / f"{project.name}-{project.version}-published.json"


def read(path: Path) -> Record:
    """Return the record at `path`. Raises StorageError and ConfigError."""
    try:
        return convert(json.loads(path.read_bytes()), Record)
    except OSError as error:
        what, fix = f"the record cannot be read: {error.strerror}", "publish first, or name it: --record"
        raise StorageError(what, where=str(path), fix=fix) from error
    except (ValueError, RecursionError) as error:
        said = str(error) if isinstance(error, ValidationError) else "it is no JSON"
        fix = "remove it: publishing writes a new one"
        raise ConfigError(f"this is no record of publishing: {said}", where=str(path), fix=fix) from error


def open_record(path: Path, project: Project) -> Record:
    """Return the record at `path`, an empty one where there is none."""
    if path.exists():
        return read(path)
    named = ProjectRef(name=project.name, version=project.version)
    return Record(schema=SCHEMA, project=named, layers=(), functions=())


def write(record: Record, path: Path) -> None:
    """Write the record to `path`, whole or not at all. Raises StorageError."""
    write_bytes(path, json.dumps(to_builtins(record), indent=2, ensure_ascii=False).encode() + b"\n")
