"""Ctrl-C and kill in the middle of publishing: nothing half-published, and a record that holds."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from aws import REGION, Cloud, Fault, code_sha256
from shop import BASE, WEB, Shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SIZE = (12 << 20) + 1  # more than all buffers between here and there hold


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], cloud: Cloud) -> Shop:
    """Give a shop whose second layer is large, and a bucket."""
    shop = Shop(tmp_path / "shop", capsys)
    content = os.urandom(_SIZE)
    shop.zip_path("web").write_bytes(content)

    def larger(layer: Any) -> Any:
        digest = hashlib.sha256(content).hexdigest()
        zip_ = replace(layer.zip, sha256=digest, code_sha256=code_sha256(content), zipped=len(content))
        return replace(layer, zip=zip_) if layer.name == "web" else layer

    shop.change(lambda manifest: replace(manifest, layers=tuple(map(larger, manifest.layers))))
    where = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    cloud.client("s3").create_bucket(Bucket="zips", **where)
    return shop


def begun(shop: Shop, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    """Start publishing in a process of its own; `limit` replaces what Lambda takes directly."""
    program = "import sys; from layerkit.__main__ import main"
    if limit is not None:
        program += f"; import layerkit.publish.versions as v; v.limit = lambda _name: {limit}"
    command = [sys.executable, "-c", f"{program}; main()", "publish", "--project", str(shop.root), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count(cloud: Cloud, name: str) -> int:
    return len(cloud.client("lambda").list_layer_versions(LayerName=name)["LayerVersions"])


def statuses(shop: Shop) -> dict[str, str]:
    return {row["layer"]: row["status"] for row in shop.record()["layers"]}


def test_an_interrupt_while_a_zip_is_sent(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PublishLayerVersion", Fault(slow=0.001), Fault(slow=0.05))
    process = begun(shop)
    wait_until(lambda: cloud.asked("PublishLayerVersion") == 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the same command finishes it" in err
    assert out == ""
    assert statuses(shop) == {"base": "published", "web": "not-tried"}
    assert (count(cloud, BASE), count(cloud, WEB)) == (1, 0)
    assert shop.publish("--json").statuses() == ["unchanged", "published"]
    assert count(cloud, WEB) == 1


def test_an_interrupt_while_an_answer_is_awaited(shop: Shop, cloud: Cloud) -> None:
    """What AWS makes of it nobody knows: the record says so, and the next run looks."""
    cloud.script("PublishLayerVersion", Fault(after=True, wait=20, reset=True))
    process = begun(shop, "base")
    wait_until(lambda: count(cloud, BASE) == 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert statuses(shop) == {"base": "unknown"}
    assert shop.publish("base", "--json").statuses() == ["unchanged"]
    assert count(cloud, BASE) == 1


def test_an_interrupted_upload_leaves_no_parts_behind(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PutObject", *[Fault(slow=0.05)] * 2)
    process = begun(shop, "web", "--s3-bucket", "zips", limit=100)
    wait_until(lambda: cloud.asked("PutObject") == 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    s3 = cloud.client("s3")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="zips")
    assert "Contents" not in s3.list_objects_v2(Bucket="zips")
    assert statuses(shop) == {"web": "not-tried"}
    assert count(cloud, WEB) == 0


def test_a_kill_leaves_a_record_that_holds(shop: Shop, cloud: Cloud) -> None:
    cloud.script("PublishLayerVersion", Fault(slow=0.001), Fault(slow=0.05))
    process = begun(shop)
    wait_until(lambda: cloud.asked("PublishLayerVersion") == 2)
    process.kill()
    process.communicate(timeout=60)
    assert statuses(shop) == {"base": "published", "web": "unknown"}
    assert shop.publish("--json").statuses() == ["unchanged", "published"]
    assert (count(cloud, BASE), count(cloud, WEB)) == (1, 1)


def test_memory_stays_flat_while_a_large_zip_is_sent(shop: Shop, cloud: Cloud) -> None:
    """boto3 alone would hold it four times over."""
    peaks = {}
    for layer in ("base", "web"):
        program = (
            "import resource, sys; from layerkit.cli import run; run(sys.argv[1:]);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        command = [sys.executable, "-c", program, "publish", "--quiet", "--project", str(shop.root), layer]
        done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        peaks[layer] = int(done.stderr.splitlines()[-1])
    assert count(cloud, WEB) == 1
    unit = 1024 if sys.platform == "linux" else 1
    assert (peaks["web"] - peaks["base"]) * unit < 8 << 20
