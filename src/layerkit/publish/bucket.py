"""Zips in S3, for layers too large to be sent to Lambda itself: each content once, under its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from layerkit.errors import AwsError, UsageError
from layerkit.publish.calls import StoppedError
from layerkit.publish.faults import DENIED, MISSING, fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_lambda.type_defs import LayerVersionContentInputTypeDef as Content

    from layerkit.project.publishing import StorageMode
    from layerkit.publish.places import Place
    from layerkit.publish.wanted import LayerZip

_PART = 8 << 20  # bytes of one part of a multipart upload
_THREADS = 4  # parts on their way at once
_DIGEST = "layerkit-sha256"
_MODE = "S3ObjectStorageMode"


class Bucket(Struct, frozen=True, kw_only=True):
    """Where zips go. The name may have `{region}` and `{account}`; `storage` None leaves it to AWS."""

    name: str
    prefix: str = ""
    storage: StorageMode | None = None

    def check(self) -> None:
        """Raise UsageError for a name that no place could fill in."""
        from layerkit.publish.names import check_template

        check_template(self.name, ("region", "account"), "the name of the bucket")

    def at(self, place: Place) -> str:
        """Return the bucket of a place."""
        return self.name.format(region=place.region, account=place.account)

    def key(self, sha256: str) -> str:
        """Return the key of a content."""
        return f"{self.prefix}{sha256}.zip"


def check_bucket(bucket: Bucket, place: Place) -> None:
    """Prove that the bucket can do what was asked, before anything is sent.

    Raises UsageError where REFERENCE meets a boto3 that does not know it, AwsError where the bucket keeps no
    versions, without which a referenced object could be changed behind a layer's back.
    """
    if bucket.storage is None:
        return
    content = place.functions.meta.service_model.shape_for("LayerVersionContentInput")
    if _MODE not in getattr(content, "members", {}):
        raise UsageError("this boto3 does not know S3 storage modes", fix="install a newer boto3")
    if bucket.storage == "copy":
        return
    name = bucket.at(place)
    asking = Requests(place, "s3:GetBucketVersioning", f"s3://{name}")
    status = asking.ask(lambda: place.objects.get_bucket_versioning(Bucket=name)).get("Status")
    if status != "Enabled":
        fix = "switch versioning on for the bucket, or use --s3-storage copy"
        raise AwsError("the bucket keeps no versions, which references need", where=f"s3://{name}", fix=fix)


def uploaded(zip_: LayerZip, bucket: Bucket, place: Place, sent: Callable[[int], None]) -> Content:
    """Return where Lambda finds a zip, after uploading it if it is not there yet.

    `sent` hears how many bytes went. A run that is given up leaves no parts behind. Raises AwsError.
    """
    name, key = bucket.at(place), bucket.key(zip_.sha256)
    version = _there(zip_, name, key, place)
    if version is None:
        _upload(zip_, name, key, place, sent)
        version = _there(zip_, name, key, place) or ""
    else:
        sent(zip_.zipped)
    content: Content = {"S3Bucket": name, "S3Key": key}
    if version:
        content["S3ObjectVersion"] = version
    if bucket.storage is not None:
        content["S3ObjectStorageMode"] = "REFERENCE" if bucket.storage == "reference" else "COPY"
    return content


def _there(zip_: LayerZip, name: str, key: str, place: Place) -> str | None:
    """Return the version of the object that holds the zip, empty without versions; None where there is none.

    Who may not list a bucket is told 403 for what is not there.
    """
    asking = Requests(place, "s3:GetObject", f"s3://{name}/{key}")
    head = asking.find(lambda: place.objects.head_object(Bucket=name, Key=key))
    if head is None or head["ContentLength"] != zip_.zipped:
        return None
    if head["Metadata"].get(_DIGEST) != zip_.sha256:
        return None
    version: str = head.get("VersionId", "")
    return "" if version == "null" else version


def _upload(zip_: LayerZip, name: str, key: str, place: Place, sent: Callable[[int], None]) -> None:
    """Upload a zip in parts."""
    from boto3.s3.transfer import TransferConfig

    def passed(count: int) -> None:
        place.calls.go_on()
        sent(count)

    config = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_THREADS)
    extra = {"Metadata": {_DIGEST: zip_.sha256}, "ContentType": "application/zip"}
    Requests(place, "s3:PutObject", f"s3://{name}/{key}").ask(
        lambda: place.objects.upload_file(
            str(zip_.path), name, key, ExtraArgs=extra, Config=config, Callback=passed
        )
    )


class Requests(Struct, frozen=True):
    """Requests to S3, which botocore itself tries again; their errors in our words."""

    place: Place
    action: str
    where: str

    def ask(self, request: Callable[[], Any]) -> Any:
        """Return the answer. Raises AwsError, and StoppedError where the run was given up."""
        self.place.calls.go_on()
        try:
            return request()
        except Exception as error:  # noqa: BLE001 - what is not of AWS is raised again as it is
            self.place.calls.go_on()
            raise self._said(error) from None

    def find(self, request: Callable[[], Any]) -> Any | None:
        """Return the answer, None for what is not there or may not be known to be there."""
        from botocore.exceptions import ClientError

        def hushed() -> Any:
            try:
                return request()
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in MISSING | DENIED:
                    return None
                raise

        return self.ask(hushed)

    def _said(self, error: Exception) -> Exception:
        """Return our word for an error of botocore's or boto3's; any other one as it is."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        for each in _causes(error):
            if isinstance(each, (BotoCoreError, ClientError)):
                return fault(each, self.action, self.where).error
            if isinstance(each, StoppedError):
                return each
        return AwsError(str(error), where=self.where) if isinstance(error, Boto3Error) else error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised for."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
