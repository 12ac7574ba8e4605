"""The store's second level: what one machine made, another does not make; and what is wrong with a bucket."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aws import Cloud, Fault
from factory import make_wheel
from layerkit.cli import run
from layerkit.errors import ConfigError, NetworkError
from layerkit.far import Far
from layerkit.shared import ADDRESS, READ_ONLY, SharedStore, open_store, settle
from layerkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

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
dependencies = ["quick", "slow"]

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


def test_an_endpoint_that_is_no_address_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENDPOINT_URL": "nonsense", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    machine = Machine(tmp_path / "a")
    assert machine.find() is None
    machine.make(b"other")
    assert len(machine.said) == 1
    assert "InvalidEndpointConfigurationError; going on without it" in machine.said[0]
    assert run(["cache", "size", "--store", "s3://shared"]) == NetworkError.exit_code


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


class Shop:
    """A project, and machines with nothing but the shared store that build it."""

    def __init__(self, folder: Path, wheels: Path, patch: pytest.MonkeyPatch, capsys: Capture) -> None:
        """Write the project and what it requires."""
        self.folder, self.patch, self.capsys = folder, patch, capsys
        make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
        make_wheel(wheels, "botocore", "1.42.0")
        large = b"".join(b"# %d\n" % (number**7) for number in range(2000))
        make_wheel(wheels, "quick", "1.0", files={"quick/__init__.py": large})
        make_wheel(wheels, "slow", "1.0")
        (folder / "shop").mkdir()
        (folder / "shop" / "pyproject.toml").write_text(PYPROJECT)

    def build(self, machine: str) -> tuple[dict[str, bytes], str]:
        """Build on a machine; return the files by name, without folders, and what was said."""
        self.patch.setenv("LAYERKIT_CACHE", str(self.folder / machine))
        output = self.folder / f"out-{machine}"
        assert run(["build", str(self.folder / "shop"), "--output", str(output)]) == 0
        settle()
        files = [path for path in sorted(output.rglob("*")) if path.is_file()]
        return {path.name: path.read_bytes() for path in files}, self.capsys.readouterr().err

    def has(self, machine: str) -> list[str]:
        """Return the suffixes of what a machine's folder has of wheels, prepared ones and layers."""
        kinds = ("wheels", "prepared", "tails", "layers")
        return sorted(
            path.suffix
            for kind in kinds
            for path in (self.folder / machine / kind).rglob("*")
            if path.is_file()
        )


@pytest.fixture
def shop(
    s3: Any, index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> Shop:
    """Give the project, its index and the bucket."""
    assert (index.names(), count(s3)) == ([], 0)
    return Shop(tmp_path, wheels, monkeypatch, capsys)


def objects(s3: Any, kind: str) -> list[str]:
    """Return the keys of one kind of object."""
    listed = s3.list_objects_v2(Bucket="shared", Prefix=f"ours/{kind}/").get("Contents", ())
    return [one["Key"] for one in listed]


def test_an_empty_machine_takes_the_finished_layer_and_no_wheel(s3: Any, shop: Shop, index: Loopback) -> None:
    (first, told), (second, said) = shop.build("a"), shop.build("b")
    assert index.names()
    assert first == second
    assert sorted(Path(name).suffix for name in first) == [".json", ".zip"]
    assert "preparing 2 wheels" in told
    assert "preparing" not in said
    assert "1 layer taken from the shared store" in said
    assert [len(objects(s3, kind)) for kind in ("prepared", "tails", "layers")] == [2, 2, 1]
    assert shop.has("a") == [".run", ".run", ".tail", ".tail", *[".whl"] * 4]
    assert shop.has("b") == [".tail", ".tail"]


@pytest.mark.parametrize("facts", [{}, {"sha256": hashlib.sha256(b"evil").hexdigest()}])
def test_a_layer_that_is_poisoned_is_composed(s3: Any, shop: Shop, facts: dict[str, str]) -> None:
    first, _ = shop.build("a")
    (key,) = objects(s3, "layers")
    s3.put_object(Bucket="shared", Key=key, Body=b"evil", Metadata=facts)
    second, said = shop.build("b")
    assert first == second
    assert said.count("is damaged; it is made anew") == 1
    assert "preparing" not in said
    assert shop.has("b").count(".run") == 2
    third, said = shop.build("c")
    assert (third, "damaged" in said) == (first, False)


@pytest.mark.parametrize(
    ("gone", "made"), [(["tails"], 0), (["layers", "prepared"], 2), (["layers", "tails"], 0)]
)
def test_what_vanished_is_made_of_what_is_left(s3: Any, shop: Shop, gone: list[str], made: int) -> None:
    first, _ = shop.build("a")
    for key in (key for kind in gone for key in objects(s3, kind)):
        s3.delete_object(Bucket="shared", Key=key)
    second, said = shop.build("b")
    assert first == second
    assert ("preparing 2 wheels" in said) == bool(made)
    assert shop.build("c")[0] == first
    assert len(objects(s3, "layers")) == 1


def test_who_reads_alone_takes_layers_and_sends_none(
    s3: Any, shop: Shop, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    first, _ = shop.build("a")
    assert count(s3) == 0
    monkeypatch.delenv(READ_ONLY)
    shop.build("b")
    monkeypatch.setenv(READ_ONLY, "1")
    sent = cloud.asked("PutObject")
    assert shop.build("c")[0] == first
    assert shop.has("c") == [".tail", ".tail"]
    assert cloud.asked("PutObject") == sent


def test_what_was_made_before_there_was_a_shared_store_is_sent(
    s3: Any, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    first, _ = shop.build("a")
    monkeypatch.delenv(READ_ONLY)
    assert (shop.has("a").count(".tail"), count(s3)) == (0, 0)
    for path in [*tmp_path.rglob("*.state.json"), *(tmp_path / "out-a").rglob("*.zip")]:
        path.unlink()
    assert shop.build("a")[0] == first
    assert [len(objects(s3, kind)) for kind in ("prepared", "tails", "layers")] == [2, 2, 1]
    assert shop.build("b")[0] == first
    assert shop.has("b") == [".tail", ".tail"]


def test_where_little_lacks_that_alone_is_brought(s3: Any, shop: Shop, tmp_path: Path) -> None:
    first, _ = shop.build("a")
    assert len(objects(s3, "layers")) == 1
    large = max((tmp_path / "a" / "prepared").rglob("*.run"), key=lambda path: path.stat().st_size)
    here = tmp_path / "b" / "prepared" / large.parent.name / large.name
    machine = Machine(tmp_path / "b", read_only=True).store
    assert machine.find("prepared", large.stem, ".run") == here
    second, said = shop.build("b")
    assert first == second
    assert "taken" not in said
    assert shop.has("b").count(".run") == 2


def test_a_layer_that_another_build_replaced_is_not_sent(s3: Any, tmp_path: Path) -> None:
    path = tmp_path / "layer.zip"
    path.write_bytes(b"of another build")
    store = Machine(tmp_path / "a").store
    store.offer("layers", DIGEST, ".zip", path, DIGEST)
    store.settle()
    assert count(s3) == 0


@pytest.mark.parametrize("times", [2, 9])
def test_a_layer_that_breaks_off_is_asked_for_again_and_then_composed(
    s3: Any, shop: Shop, cloud: Cloud, tmp_path: Path, times: int
) -> None:
    first, _ = shop.build("a")
    assert len(objects(s3, "layers")) == 1
    tails = [path.stem for path in (tmp_path / "a" / "tails").rglob("*.tail")]
    Machine(tmp_path / "b", read_only=True).store.bring("tails", tails, ".tail")
    asked, cloud.cut = cloud.asked("GetObject"), times
    second, said = shop.build("b")
    assert first == second
    assert cloud.asked("GetObject") == asked + 3
    lost = times > 2
    assert ("1 layer taken" in said, "preparing 2 wheels" in said) == (not lost, lost)
    assert said.count("going on without it") == lost


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
    assert run(["cache", "size"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.endswith(":")] == [f"{tmp_path / 'a'}:", "s3://shared/ours/:"]
    assert "  of the shared store: 0 hits, 0 misses, 0 B received, 7 B sent" in shown
    assert run(["cache", "prune", "--shared", "--max-age", "1"]) == 0
    assert count(s3) == 1
    assert run(["cache", "prune", "--shared", "--max-size", "0"]) == 0
    assert count(s3) == 0


def test_the_project_of_the_folder_names_the_shared_store(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Machine(tmp_path / "a").make()
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "a"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.layerkit]\nstore = "s3://shared/ours"\nlayers = 7\n')
    assert run(["cache", "size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shared"]["address"] == "s3://shared/ours/"
    assert run(["cache", "prune", "--shared", "--max-size", "0"]) == 0
    assert count(s3) == 0
    for text in ("[tool.layerkit]\nstore = 7\n", "no TOML", ""):
        (tmp_path / "pyproject.toml").write_text(text)
        assert run(["cache", "size", "--json"]) == 0
        assert json.loads(capsys.readouterr().out.strip())["shared"] is None


def test_who_names_another_shared_store_prunes_that_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "a"))
    assert run(["cache", "prune", "--store", "s3://shared/ours", "--max-age", "0"]) == 2
    assert "add --shared" in capsys.readouterr().err
    assert run(["cache", "size", "--store", "nonsense"]) == ConfigError.exit_code
    assert "--store: 'nonsense' is no address" in capsys.readouterr().err


def test_this_machine_is_shown_where_the_shared_store_does_not_answer(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with Store(tmp_path / "a").publish("wheels", DIGEST, ".whl") as path:
        path.write_bytes(BODY)
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "a"))
    assert run(["cache", "size", "--store", "s3://nowhere-at-all"]) == NetworkError.exit_code
    assert cloud.asked("GetBucket") == 1
    assert "  in all               1 files" in capsys.readouterr().out


def test_a_shared_store_that_does_not_answer_is_an_error_of_its_commands(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "a"))
    assert run(["cache", "size", "--store", "s3://nowhere-at-all"]) == NetworkError.exit_code
    assert "the shared store does not answer: NoSuchBucket" in capsys.readouterr().err
    assert run(["cache", "prune", "--shared", "--max-age", "1"]) == 2
    assert cloud.asked("PutObject") == 0
