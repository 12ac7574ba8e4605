"""Versions of layers on AWS as files: downloaded to be read, and held against the digest that AWS has."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from layerkit.archive.problems import escaped
from layerkit.errors import AwsError, UsageError
from layerkit.publish.names import LayerArn
from layerkit.publish.places import Accounts, open_places
from layerkit.publish.remote import download
from layerkit.publish.versions import get_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerkit.publish.places import Place

_FORM = "it is written arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION"


@contextmanager
def as_files(
    sources: Sequence[str],
    profiles: Sequence[str] = (),
    roles: Sequence[str] = (),
    talk: Callable[[str], None] = lambda _text: None,
) -> Iterator[list[Path]]:
    """Give the file of each source, in their order: paths as they are, ARNs downloaded.

    What was downloaded is named by its ARN, and gone after the block. All ARNs are read before anything is
    asked of AWS. Raises UsageError for what is neither a file nor a version's ARN, and AwsError.
    """
    arns = {source: arn for source in sources if (arn := layer_version(source))}
    files = {source: named_file(source) for source in sources if source not in arns}
    if not arns:
        yield [files[source] for source in sources]
        return
    places = cache(lambda region: open_places(Accounts(profiles=profiles, roles=roles, regions=(region,))))
    with TemporaryDirectory(prefix="layerkit-") as folder:
        for source, arn in arns.items():
            talk(f"downloading {source}")
            _download(source, arn, Path(folder), places(arn.region))
        yield [files.get(source, Path(folder, source)) for source in sources]


def layer_version(source: str) -> LayerArn | None:
    """Return the parts of a layer version's ARN; None for what is the name of a file.

    Raises UsageError for an ARN of something else.
    """
    arn = LayerArn.parse(source)
    if arn is not None and arn.version is None:
        raise UsageError("the ARN names no version", where=source, fix=f"add its number: {source}:1")
    if arn is None and source.startswith("arn:") and not Path(source).exists():
        raise UsageError("this is no ARN of a layer's version", where=source, fix=_FORM)
    return arn


def named_file(name: str | Path, fix: str = "name a zip, or the ARN of a layer's version") -> Path:
    """Return the path of a file that somebody named. Raises UsageError where there is none."""
    path = Path(name)
    if not path.is_file():
        there = "there is no such file" if not path.exists() else "this is no file that can be read as a zip"
        what = "this is a folder, not a zip" if path.is_dir() else there
        raise UsageError(what, where=escaped(str(name)), fix=fix)
    return path


def _download(source: str, arn: LayerArn, folder: Path, places: Sequence[Place]) -> None:
    """Write a version's zip into a folder, asked for by the account that it is of, or else by the first."""
    place = next((one for one in places if one.account == arn.account), places[0])
    version = get_version(place, source.rpartition(":")[0], arn.version or 0)
    if version is None:
        fix = "`aws lambda list-layer-versions` shows those there are, `layerkit list` a project's own"
        raise AwsError("there is no such version", where=source, fix=fix)
    download(place.calls, version.location, folder / source, where=source, code_sha256=version.code_sha256)
