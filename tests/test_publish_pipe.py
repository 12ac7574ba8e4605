from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from aws import REGION, Cloud, Fault
from layerkit.errors import AwsError, WheelError
from layerkit.publish.pipe import through_pipe
from layerkit.publish.places import Accounts, open_places

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.publish.places import Place


@pytest.fixture
def place(cloud: Cloud) -> Place:
    where = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    cloud.client("s3").create_bucket(Bucket="zips", **where)
    return open_places(Accounts())[0]


def objects(cloud: Cloud) -> dict[str, Any]:
    s3 = cloud.client("s3")
    found = s3.list_objects_v2(Bucket="zips").get("Contents", [])
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="zips")
    return {one["Key"]: s3.get_object(Bucket="zips", Key=one["Key"])["Body"].read() for one in found}


@pytest.mark.parametrize("size", [0, 10, 8 << 20, (20 << 20) + 3])
def test_what_is_written_is_what_is_there(place: Place, cloud: Cloud, size: int) -> None:
    content = os.urandom(size)

    def write(path: Path) -> int:
        assert path.stat().st_size == 0
        with path.open("wb") as file:
            return sum(file.write(content[at : at + 1000_000]) for at in range(0, size, 1000_000))

    assert through_pipe(place, "zips", "a/b.zip", write) == size
    assert objects(cloud) == {"a/b.zip": content}


@pytest.mark.parametrize("size", [10, 20 << 20])
def test_writing_that_fails_leaves_no_object(place: Place, cloud: Cloud, size: int) -> None:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(bytes(size))
        raise WheelError("is damaged")

    with pytest.raises(WheelError, match="is damaged"):
        through_pipe(place, "zips", "a.zip", write)
    assert objects(cloud) == {}


def test_an_upload_that_fails_ends_the_writing_and_says_why(place: Place, cloud: Cloud) -> None:
    cloud.script("PutObject", *[Fault(status=403, code="AccessDenied", message="no, never")] * 4)
    written = 0

    def write(path: Path) -> None:
        nonlocal written
        with path.open("wb") as file:
            for _ in range(1000):
                written += file.write(bytes(1 << 20))

    with pytest.raises(AwsError, match=r"access denied for s3:PutObject: no, never"):
        through_pipe(place, "zips", "a.zip", write)
    assert written < 200 << 20
    assert objects(cloud) == {}


def test_a_missing_bucket(place: Place) -> None:
    with pytest.raises(AwsError, match="there is no such bucket"):
        through_pipe(place, "none", "a.zip", lambda path: path.write_bytes(b"some"))
