"""Files of models and of features: fetched from S3, and known by their hash before anything in them runs."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import patch

from model_api.config import endpoint, features_bucket, model_file
from model_api.errors import DeserializationError, NotFoundError

_CHUNK = 1 << 20
_LARGEST_FEATURES = 64 << 20
# What an array of numbers is pickled with; a pickle that asks for anything else would run code of its own.
_ARRAYS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


@lru_cache(maxsize=None)
def s3() -> Any:
    """Return the client of S3; an environment has one."""
    import boto3

    return boto3.client("s3", endpoint_url=endpoint("s3"))


def load_model(qualified_name: str, packaged: Path) -> Any:
    """Return what is pickled in a model's file: the one that the configuration names, else the packaged one.

    Unpickling runs code, so a file from S3 is looked at only when its sha256 is the expected one.
    """
    import joblib

    return joblib.load(model_path(qualified_name, packaged))


def model_path(qualified_name: str, packaged: Path) -> Path:
    """Return a model's file on disk; one from S3 stays in /tmp, under its hash."""
    wanted = model_file(qualified_name)
    if not wanted:
        return packaged
    kept = Path(tempfile.gettempdir(), f"{qualified_name}-{wanted['sha256']}")
    if not (kept.exists() and _sha256(kept) == wanted["sha256"]):
        _fetch(wanted["bucket"], wanted["key"], wanted["sha256"], kept)
    return kept


def features(bucket: str, key: str) -> Any:
    """Return the table of features in an object of S3, as joblib wrote it.

    Only the bucket that the service is told of is read, and only arrays of numbers are unpickled.
    """
    if bucket != features_bucket():
        message = f"features are not read from the bucket {bucket!r}"
        raise NotFoundError(message)
    from botocore.exceptions import ClientError

    try:
        found = s3().get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in {"NoSuchKey", "NoSuchBucket", "404"}:
            message = f"there is no object {key!r} in the bucket {bucket!r}"
            raise NotFoundError(message) from error
        raise
    if found["ContentLength"] > _LARGEST_FEATURES:
        message = f"{key!r} has {found['ContentLength']} bytes; {_LARGEST_FEATURES} is the most"
        raise DeserializationError(message)
    try:
        return _arrays(io.BytesIO(found["Body"].read()))
    except DeserializationError:
        raise
    except Exception as error:
        message = f"{key!r} is no table of numbers that joblib wrote: {error}"
        raise DeserializationError(message) from error


def _arrays(content: BinaryIO) -> Any:
    """Unpickle what joblib wrote, if it is made of arrays of numbers alone.

    joblib names its unpickler when it loads, in every version; ours stands in for it meanwhile.
    """
    import joblib
    from joblib import numpy_pickle

    class Numbers(numpy_pickle.NumpyArrayWrapper):  # type: ignore[misc]
        def read(self, unpickler: Any, *more: Any) -> Any:
            if self.dtype.hasobject:  # these are pickled once more, and joblib would read that as it is
                message = "the features hold objects; arrays of numbers are all that is read"
                raise DeserializationError(message)
            return super().read(unpickler, *more)

    class Unpickler(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
                return Numbers
            if (module, name) not in _ARRAYS:
                message = f"the features hold a {module}.{name}; arrays of numbers are all that is read"
                raise DeserializationError(message)
            return super().find_class(module, name)

    with patch.object(numpy_pickle, "NumpyUnpickler", Unpickler):
        return joblib.load(content)


def _fetch(bucket: str, key: str, sha256: str, kept: Path) -> None:
    """Download a model's file; it has its name only once it is whole and has the expected hash."""
    handle, name = tempfile.mkstemp(dir=str(kept.parent))
    try:
        with os.fdopen(handle, "wb") as file:
            s3().download_fileobj(bucket, key, file)
        found = _sha256(Path(name))
        if found != sha256:
            message = f"s3://{bucket}/{key} has the sha256 {found}, not {sha256}: it is not loaded"
            raise ValueError(message)
        os.replace(name, str(kept))  # noqa: PTH105 - Path.replace gives less of a hint on 3.7
    finally:
        if os.path.exists(name):  # noqa: PTH110
            os.unlink(name)  # noqa: PTH108


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
