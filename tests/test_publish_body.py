from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest

from layerkit.publish.body import _CHUNK, ZipBody

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = json.dumps(
    {"Content": {"ZipFile": ""}, "Description": 'a "layer" é', "LicenseInfo": "MIT"}
).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 22, 1000, _CHUNK - 1, _CHUNK, _CHUNK + 1, 3 * _CHUNK + 7])
@pytest.mark.parametrize("step", [-1, 8192, 1 << 20])
def test_it_is_the_json_that_boto3_would_have_made(tmp_path: Path, size: int, step: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a.zip").write_bytes(content)
    told: list[int] = []
    body = ZipBody(DOCUMENT, tmp_path / "a.zip", told.append)
    for _ in range(2):
        read = b""
        while piece := body.read(step):
            read += piece
        assert len(read) == len(body) == body.tell()
        document = json.loads(read)
        assert base64.b64decode(document["Content"]["ZipFile"]) == content
        assert {**document, "Content": {"ZipFile": ""}} == json.loads(DOCUMENT)
        assert sum(told) == size
        assert body.seek(0) == body.tell() == 0
        assert sum(told) == 0
    body.close()


def test_its_end_can_be_asked_for_as_lengths_are(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"zip")
    body = ZipBody(DOCUMENT, tmp_path / "a.zip", lambda _count: None)
    assert body.seek(0, 2) == len(body)
    assert body.read() == b""
    body.seek(0)
    assert len(body.read()) == len(body)
    body.close()
