"""From a request to a published layer: choose, look whether it is there, read, write, publish."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from add_module.bundling import Bundler
from add_module.choosing import choose, project_of
from add_module.event import default_name
from add_module.failures import FailedError
from add_module.wheels import LAYOUT, Wheels, packed, together
from layerkit import __version__
from layerkit.archive import write_zip
from layerkit.plan import most_unzipped
from layerkit.prepare import RECIPE
from layerkit.publish.pipe import through_pipe
from layerkit.publish.places import Place, function_place
from layerkit.publish.versions import Look, newest_version, publish
from layerkit.publish.wanted import LayerZip, licences
from layerkit.store import Store
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from mypy_boto3_lambda.type_defs import LayerVersionContentInputTypeDef as Content

    from add_module.event import Request
    from layerkit.archive import Composed, Piece
    from layerkit.lock import LockedPackage
    from layerkit.project import Project
    from layerkit.publish.versions import Version

# What a file takes in a zip beside its stream: two headers, and its name in both.
_HEADERS = 76
_KEY = re.compile(r"^key:([0-9a-f]{32}) unzipped:")
_SIZE = re.compile(r"(unzipped|tmp):(\d+)")


class _Bucket(Struct, frozen=True, kw_only=True):
    """Where zips and frames go that are too large for Lambda itself: LAYER_BUCKET and LAYER_PREFIX."""

    name: str
    prefix: str

    @classmethod
    def of_environment(cls) -> _Bucket | None:
        """Return the bucket that the function was deployed with."""
        name = os.environ.get("LAYER_BUCKET")
        return cls(name=name, prefix=os.environ.get("LAYER_PREFIX", "")) if name else None

    @property
    def address(self) -> str:
        """Return where frames lie, as the loader wants it."""
        return f"s3://{self.name}/{self.prefix}frames"


def make(request: Request, folder: Path, stack: ExitStack, arn: str) -> dict[str, Any]:
    """Return what the reply says of a layer that is there now; `arn` is the function's own.

    Raises NotFoundError, FailedError, and the errors of layerkit.
    """
    bucket = _Bucket.of_environment()
    store, place = Store.default(), function_place(arn, os.environ.get("AWS_REGION", ""))
    project = project_of(request, folder, bucket.address if bucket else None)
    packages = choose(request, project, store)
    name = request.layer or default_name(request, packages[0].version)
    key, newest = _key(request, project, packages), newest_version(place, name)
    if newest is not None and (said := _KEY.search(newest.description)) and said[1] == key:
        return _reply(name, newest, packages, new=False)
    wheels = Wheels(store, request.target, folder, stack)
    opened = [wheels.open(one) for one in packages]
    bundle = None
    if sum(one.unzipped for one in opened) > most_unzipped():
        bundler = Bundler(request, project, store, wheels, folder, stack)
        bundle = bundler.bundle(opened, _sender(place, bucket))
        opened = list(bundle.opened)
    pieces = together(opened)
    written, content = _written(pieces, place, bucket, folder, key)
    size = f"unzipped:{written.unzipped}" + (f" tmp:{bundle.megabytes}" if bundle else "")
    description = _description(f"key:{key} {size}", packages)
    zip_ = _layer_zip(request, name, written, folder, description, licences(one.licence for one in opened))
    same = newest is not None and newest.code_sha256 == zip_.code_sha256
    made = publish(place, zip_, content=content, looked=Look(newest=newest, same=same))
    reply = _reply(name, replace(made.version, description=description), packages, new=made.new)
    return {**reply, "Frames": list(bundle.remote)} if bundle else reply


def _key(request: Request, project: Project, packages: Sequence[LockedPackage]) -> str:
    """Return the digest of all that decides the layer's content."""
    chosen = [(one.name, one.version, one.wheel.sha256) for one in packages]
    decides = [__version__, RECIPE, LAYOUT, request.target.key, project.over_limit.remote, chosen]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:32]


def _sender(place: Place, bucket: _Bucket | None) -> Any:
    """Return what sends frames to S3 while they are written; None without a bucket."""
    if bucket is None:
        return None
    return lambda file, write: through_pipe(place, bucket.name, f"{bucket.prefix}frames/{file}", write)


def _written(
    pieces: list[Piece], place: Place, bucket: _Bucket | None, folder: Path, key: str
) -> tuple[Composed, Content | None]:
    """Write the zip: to /tmp where it can be sent to Lambda itself, else to S3 while it is made."""
    about = sum(packed(piece) + _HEADERS + 2 * len(piece.name) for piece in pieces)
    if about <= limit("direct_upload_bytes"):
        return write_zip(folder / "layer.zip", pieces), None
    if bucket is None:
        raise FailedError(
            f"the layer has about {about:,} bytes zipped, and {limit('direct_upload_bytes'):,} can be sent to"
            " Lambda itself: set LAYER_BUCKET"
        )
    name = f"{bucket.prefix}{key}.zip"
    written = through_pipe(place, bucket.name, name, lambda path: write_zip(path, pieces))
    return written, {"S3Bucket": bucket.name, "S3Key": name}


def _layer_zip(
    request: Request, name: str, written: Composed, folder: Path, description: str, licence: str
) -> LayerZip:
    """Return what Lambda is told of the layer."""
    digest = base64.b64encode(bytes.fromhex(written.sha256)).decode()
    return LayerZip(
        name=name,
        layer=name,
        path=folder / "layer.zip",
        sha256=written.sha256,
        code_sha256=digest,
        zipped=written.size,
        unzipped=written.unzipped,
        runtimes=(request.target.runtime,),
        architectures=(request.target.arch,),
        description=description,
        licence=licence,
    )


def _description(text: str, packages: Sequence[LockedPackage]) -> str:
    """Return the description: the module's wheel with its digest, as many others as there is room for."""
    for one in packages:
        more = f"{text} {one.name} {one.version} sha256:{one.wheel.sha256}"
        if len(more) > limit("layer_description"):
            break
        text = more
    return text


def _reply(name: str, version: Version, packages: Sequence[LockedPackage], *, new: bool) -> dict[str, Any]:
    """Return what the reply says of the layer; its sizes are those of its description."""
    sizes = {what: int(count) for what, count in _SIZE.findall(version.description)}
    words = "was published" if new else "is there already"
    reply: dict[str, Any] = {
        "Payload": f"layer {name} {words}: {version.arn}",
        "LayerName": name,
        "LayerVersionArn": version.arn,
        "Version": version.number,
        "New": new,
        "CodeSha256": version.code_sha256,
        "Unzipped": sizes["unzipped"],
        "Packages": [
            {
                "Name": one.name,
                "Version": one.version,
                "Wheel": one.wheel.filename,
                "Sha256": one.wheel.sha256,
            }
            for one in packages
        ],
    }
    return {**reply, "EphemeralStorage": sizes["tmp"]} if "tmp" in sizes else reply
