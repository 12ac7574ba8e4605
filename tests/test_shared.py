"""The store's second level: what one machine made, another does not make; and what is wrong with a bucket."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from aws import Cloud, Fault
from factory import make_wheel
from layerkit.cli import run
from layerkit.errors import ConfigError, NetworkError
from layerkit.shared import ADDRESS, READ_ONLY, Far, SharedStore, open_store, settle
from layerkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loopback import Loopback

Capture = pytest.CaptureFixture[str]
FAR = Far(bucket="shared", prefix="ours/")
BODY = b"a wheel"
DIGEST = hashlib.sha256(BODY).hexdigest()
KEY = f"ours/wheels/{DIGEST[:2]}/{DIGEST}.whl"
PYPROJECT = """
[project]
name = "shop"
version = "1.0"
dependencies = ["quick"]

[tool.layerkit]
store = "s3://shared/ours"
runtimes = ["python3.12"]
sdk-version = "1.42.0"
bytecode = false
"""


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    """Give a client of an S3 that has the bucket."""
    client = cloud.client("s3", "us-east-1")
    client.create_bucket(Bucket="shared")
    return client


class Machine:
    """A machine with a folder of its own, and what it was told."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        """Name the folder."""
        self.said: list[str] = []
        self.store = SharedStore(root, FAR, self.said.append, read_only=read_only)

    def make(self, body: bytes = BODY, kind: str = "wheels") -> None:
        """Make an entry, and wait until it is sent."""
        with self.store.publish(kind, hashlib.sha256(body).hexdigest(), ".whl") as path:
            path.write_bytes(body)
        self.store.settle()

    def find(self, digest: str = DIGEST) -> bytes | None:
        """Return the content of an entry."""
        found = self.store.find("wheels", digest, ".whl")
        return found.read_bytes() if found else None


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    yield
    settle(abandon=True)


def count(s3: Any, prefix: str = "") -> int:
    """Return how many objects there are."""
    found: int = s3.list_objects_v2(Bucket="shared", Prefix=prefix)["KeyCount"]
    return found


def test_what_one_machine_made_another_finds(s3: Any, tmp_path: Path) -> None:
    Machine(tmp_path / "a").make()
    assert s3.head_object(Bucket="shared", Key=KEY)["Metadata"] == {"sha256": DIGEST}
    other = Machine(tmp_path / "b")
    assert other.find() == BODY
    assert other.find() == BODY  # from its own folder now
    other.store.settle()
    assert other.store.counted() == {"hits": 1, "received": len(BODY)}
    assert Store(tmp_path / "b").find("wheels", DIGEST, ".whl")


def test_several_are_fetched_side_by_side(s3: Any, tmp_path: Path) -> None:
    bodies = [b"%d" % number for number in range(20)]
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]
    first = Machine(tmp_path / "a").store
    for digest, body in zip(digests, bodies, strict=True):
        with first.publish("wheels", digest, ".whl") as path:
            path.write_bytes(body)
    first.settle()
    assert count(s3) == len(bodies)
    other = Machine(tmp_path / "b").store
    other.bring("wheels", digests, ".whl")
    assert all(other.has("wheels", digest, ".whl") for digest in digests)


def test_what_belongs_to_one_machine_stays_there(s3: Any, tmp_path: Path) -> None:
    Machine(tmp_path / "a").make(kind="interpreters")
    assert count(s3) == 0


def test_reading_alone_sends_nothing(s3: Any, tmp_path: Path) -> None:
    Machine(tmp_path / "a", read_only=True).make()
    assert count(s3) == 0


def test_what_is_there_is_not_sent_again(s3: Any, cloud: Cloud, tmp_path: Path) -> None:
    Machine(tmp_path / "a").make()
    asked = cloud.asked("PutObject")
    Machine(tmp_path / "b").make()
    assert (count(s3), cloud.asked("PutObject")) == (1, asked)


@pytest.mark.parametrize("digest", [DIGEST, hashlib.sha256(b"evil").hexdigest(), None])
def test_a_poisoned_object_is_a_miss_that_is_said_once(s3: Any, digest: str | None, tmp_path: Path) -> None:
    s3.put_object(Bucket="shared", Key=KEY, Body=b"evil", Metadata={"sha256": digest} if digest else {})
    machine = Machine(tmp_path / "a")
    assert [machine.find(), machine.find()] == [None, None]
    assert machine.said == [f"shared store: {KEY} in shared is damaged; it is made anew"]
    machine.make()
    assert s3.get_object(Bucket="shared", Key=KEY)["Body"].read() == BODY


def test_an_entry_that_was_evicted_does_not_come_back(s3: Any, tmp_path: Path) -> None:
    Machine(tmp_path / "a").make()
    machine = Machine(tmp_path / "b")
    assert machine.find()
    machine.store.evict("wheels", DIGEST, ".whl")
    assert machine.find() is None
    assert count(s3) == 1


def test_a_bucket_that_is_not_there_costs_one_line(cloud: Cloud, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "a")
    assert machine.find() is None
    machine.make(b"other")
    words = "shared store: s3://shared/ours/ cannot be used: NoSuchBucket; going on without it"
    assert machine.said == [words]
    assert cloud.asked("PutObject") == 0


def test_a_network_that_is_gone_costs_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    machine = Machine(tmp_path / "a")
    assert [machine.find(), machine.find("0" * 64)] == [None, None]
    assert len(machine.said) == 1
    assert "EndpointConnectionError; going on without it" in machine.said[0]


def test_who_may_not_write_still_reads(s3: Any, cloud: Cloud, tmp_path: Path) -> None:
    Machine(tmp_path / "a").make()
    cloud.script("PutObject", Fault(status=403, code="AccessDenied", message="no"))
    machine = Machine(tmp_path / "b")
    machine.make(b"other")
    (said,) = machine.said
    assert said.startswith("shared store: nothing more is sent to s3://shared/ours/: ")
    assert machine.find() == BODY
    assert count(s3) == 1


@pytest.mark.parametrize("text", ["s3://", "bucket", "https://bucket/x", "s3://UPPER/x", "s3:/a/b"])
def test_an_address_is_one_of_s3(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a shared store") as refused:
        Far.parse(text, "tool.layerkit.store")
    assert refused.value.where == "tool.layerkit.store"


def test_the_environment_comes_before_the_project() -> None:
    environment = {ADDRESS: "s3://here/a/b/", READ_ONLY: "1"}
    said: list[str] = []
    store = open_store("s3://there", said.append, environment=environment)
    assert isinstance(store, SharedStore)
    assert str(store.far) == "s3://here/a/b/"
    assert type(open_store(None, said.append, environment={})) is Store


def test_an_empty_machine_builds_without_fetching_or_preparing_a_wheel(
    s3: Any, index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "quick", "1.0")
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    zips, said = [], []
    for machine in ("a", "b"):
        monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / machine))
        output = tmp_path / f"out-{machine}"
        assert run(["build", str(folder), "--output", str(output)]) == 0
        settle()
        zips.append([path.read_bytes() for path in sorted(output.rglob("*.zip"))])
        said.append(capsys.readouterr().err)
    assert index.names()
    assert zips[0] == zips[1] != []
    assert ["preparing 1 wheel" in text for text in said] == [True, False]
    assert not list((tmp_path / "b" / "wheels").rglob("*.whl"))
    assert count(s3, "ours/prepared/") == 1


def test_both_levels_are_shown_and_pruned(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Machine(tmp_path / "a").make()
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv(ADDRESS, "s3://shared/ours")
    assert run(["cache", "size", "--json"]) == 0
    shared = json.loads(capsys.readouterr().out)["shared"]
    assert shared["kinds"] == {"wheels": {"files": 1, "bytes": len(BODY)}}
    assert shared["counts"] == {"sent": len(BODY)}
    assert run(["cache", "prune", "--shared", "--max-age", "1"]) == 0
    assert count(s3) == 1
    assert run(["cache", "prune", "--shared", "--max-size", "0"]) == 0
    assert count(s3) == 0


def test_a_shared_store_that_does_not_answer_is_an_error_of_its_commands(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "a"))
    assert run(["cache", "size", "--store", "s3://nowhere-at-all"]) == NetworkError.exit_code
    assert "the shared store does not answer: NoSuchBucket" in capsys.readouterr().err
    assert run(["cache", "prune", "--shared", "--max-age", "1"]) == 2
    assert cloud.asked("PutObject") == 0
