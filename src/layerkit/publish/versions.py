"""Versions of a layer on Lambda: looked up, published once per content, and proved to be what was sent.

    published = publish(place, zip_, bucket=None)

Publishing is not idempotent: the same bytes sent twice make two versions. So the newest version is looked at
first, and again whenever an answer was lost, before the zip is sent once more.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import AwsError, UsageError
from layerkit.publish.body import Streamed
from layerkit.publish.bucket import uploaded
from layerkit.publish.calls import PerhapsDoneError, RefusedError, StoppedError
from layerkit.publish.faults import MISSING
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_lambda.type_defs import LayerVersionContentInputTypeDef as Content

    from layerkit.publish.bucket import Bucket
    from layerkit.publish.places import Place
    from layerkit.publish.wanted import LayerZip

_LOOKS = 3  # how often a version is looked for after a lost answer: Lambda may still be unpacking the zip
_ATTEMPTS = 5  # how often a publish is asked for whose answers are lost


class Version(Struct, frozen=True, kw_only=True):
    """A version of a layer as AWS has it; `code_sha256` is base64, `size` the zip's bytes."""

    arn: str
    number: int
    code_sha256: str
    size: int
    created: str
    description: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    location: str = ""


class Published(Struct, frozen=True, kw_only=True):
    """A version that holds a zip: made now, or found as the newest."""

    version: Version
    new: bool


class Look(Struct, frozen=True, kw_only=True):
    """What a look at a layer found: its newest version, and whether that holds the zip already."""

    newest: Version | None
    same: bool


def look(place: Place, zip_: LayerZip) -> Look:
    """Look at the newest version of a layer. Raises AwsError."""
    newest = newest_version(place, zip_.name)
    return Look(newest=newest, same=newest is not None and newest.code_sha256 == zip_.code_sha256)


def publish(
    place: Place,
    zip_: LayerZip,
    *,
    bucket: Bucket | None = None,
    looked: Look | None = None,
    content: Content | None = None,
    force: bool = False,
    sent: Callable[[int], None] = lambda _count: None,
) -> Published:
    """Have the newest version of a layer hold a zip; with `force` a new one even where it does already.

    `looked` is a look of a moment ago, `content` where the zip lies in S3 already. `sent` hears of the
    zip's bytes as they go. Raises AwsError, and UsageError for a zip that is too large to be sent to Lambda
    where there is no bucket.
    """
    found = looked or look(place, zip_)
    if found.newest is not None and found.same and not force:
        return Published(version=found.newest, new=False)
    if content is None and goes_through_s3(zip_, bucket) and bucket is not None:
        content = uploaded(zip_, bucket, place, sent)
    version = _publish(place, zip_, content, sent, found.newest.number if found.newest else 0)
    if version.code_sha256 != zip_.code_sha256:
        _take_back(place, zip_.name, version)
    return Published(version=version, new=True)


def goes_through_s3(zip_: LayerZip, bucket: Bucket | None) -> bool:
    """Say whether a zip is too large to be sent to Lambda, or shall be referenced in S3.

    Raises UsageError where it is too large and there is no bucket.
    """
    most = limit("direct_upload_bytes")
    if zip_.zipped <= most:
        return bucket is not None and bucket.storage == "reference"
    if bucket is None:
        what = f"the zip has {zip_.zipped:,} bytes, and {most:,} can be sent to Lambda itself"
        raise UsageError(what, where=f"layer {zip_.layer}", fix="name a bucket for it: --s3-bucket")
    return True


def newest_version(place: Place, name: str) -> Version | None:
    """Return the newest version of a layer, None where there is none."""
    newest = next(versions(place, name), None)  # AWS lists the newest first
    return get_version(place, name, newest.number) if newest else None


def versions(place: Place, name: str) -> Iterator[Version]:
    """Yield the versions of a layer, the newest first, as AWS lists them: without digest and size."""
    request = partial(place.functions.list_layer_versions, LayerName=name)
    try:
        for item in place.calls.pages(
            "lambda:ListLayerVersions", request, "LayerVersions", where=_at(place, name), hear=MISSING
        ):
            yield _version(item)
    except RefusedError:
        return


def get_version(place: Place, name: str, number: int) -> Version | None:
    """Return one version of a layer; None for one that is not there. `name` may be an ARN without version."""
    request = partial(place.functions.get_layer_version, LayerName=name, VersionNumber=number)
    try:
        return _version(
            place.calls.ask("lambda:GetLayerVersion", request, where=_at(place, name), hear=MISSING)
        )
    except RefusedError:
        return None


def _version(found: Any) -> Version:
    """Return what an answer says of a version; lists say nothing of its content."""
    content = found.get("Content", {})
    return Version(
        arn=found["LayerVersionArn"],
        number=found["Version"],
        code_sha256=content.get("CodeSha256", ""),
        size=content.get("CodeSize", 0),
        created=found.get("CreatedDate", ""),
        description=found.get("Description", ""),
        runtimes=tuple(found.get("CompatibleRuntimes", ())),
        architectures=tuple(found.get("CompatibleArchitectures", ())),
        location=content.get("Location", ""),
    )


def _publish(
    place: Place, zip_: LayerZip, content: Content | None, sent: Callable[[int], None], before: int
) -> Version:
    """Publish a version; after a lost answer look for one that is newer than `before` and holds the zip."""
    request = _request(place, zip_, content, sent)
    attempt = 0
    while True:
        attempt += 1
        try:
            action, where = "lambda:PublishLayerVersion", _at(place, zip_.name)
            return _version(place.calls.ask(action, request, where=where, once=True))
        except PerhapsDoneError as lost:
            try:
                found = _found_after(place, zip_, before, lost.wait)
            except StoppedError:
                raise StoppedError(perhaps_done=True) from None
            if found is not None:
                return found
            if attempt == _ATTEMPTS:
                raise lost.error from None


def _request(
    place: Place, zip_: LayerZip, content: Content | None, sent: Callable[[int], None]
) -> Callable[[], Any]:
    """Return the request to publish a zip: as it lies in S3, else with the zip itself."""
    request = partial(
        place.functions.publish_layer_version,
        LayerName=zip_.name,
        Description=zip_.description,
        Content=content or {"ZipFile": b""},
        CompatibleRuntimes=zip_.runtimes,  # type: ignore[arg-type]
        CompatibleArchitectures=zip_.architectures,  # type: ignore[arg-type]
        LicenseInfo=zip_.licence,
    )

    def passed(count: int) -> None:
        place.calls.go_on()
        sent(count)

    def with_zip() -> Any:
        with Streamed(place.functions, zip_.path, passed) as streamed:
            try:
                return request()
            except Exception:
                if place.calls.stop.is_set() and streamed.cut_short:
                    raise StoppedError from None  # what has not come whole, Lambda does not carry out
                raise

    return with_zip if content is None else request


def _found_after(place: Place, zip_: LayerZip, before: int, wait: float) -> Version | None:
    """Look for the version that a publish may have made whose answer was lost."""
    for look in range(_LOOKS):
        place.calls.sleep(wait * look)
        newest = newest_version(place, zip_.name)
        if newest is not None and newest.number > before and newest.code_sha256 == zip_.code_sha256:
            return newest
    return None


def _take_back(place: Place, name: str, version: Version) -> None:
    """Delete a version that holds something other than the zip, and say so."""
    delete_version(place, name, version.number)
    what = f"the new version did not hold the zip (CodeSha256 {version.code_sha256}), and was deleted"
    fix = "publish again; where an object in S3 is wrong, take it away first"
    raise AwsError(what, where=version.arn, fix=fix)


def delete_version(place: Place, name: str, number: int) -> None:
    """Delete a version of a layer. Functions that use it go on working; its number never comes again."""
    request = partial(place.functions.delete_layer_version, LayerName=name, VersionNumber=number)
    place.calls.ask("lambda:DeleteLayerVersion", request, where=_at(place, f"{name}:{number}"))


def _at(place: Place, name: str) -> str:
    return f"{place.key} {name.rpartition(':layer:')[2]}"
