"""Builds whose work is done by others: the same bytes, the same errors, and workers that die."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aws import Cloud, variables
from crowd import Crowd
from factory import make_wheel
from layerkit.cli import run
from layerkit.cluster import kit, open_cluster
from layerkit.errors import BuildError, ClusterError, ConfigError, UsageError, WheelError
from layerkit.far import Far
from layerkit.lock import LockedPackage, WheelRef
from layerkit.orders import keep_logs
from layerkit.preparation import Means, _prepare_away
from layerkit.progress import progress
from layerkit.session import open_session
from layerkit.settings import Settings
from layerkit.shared import SharedStore, settle
from layerkit.store import Store
from loopback import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loopback import Loopback

Capture = pytest.CaptureFixture[str]
NAMES = ("quick", "brown", "fox", "lazy", "dog", "old")
PYPROJECT = """
[project]
name = "shop"
version = "1.0"

[tool.layerkit]
runtimes = ["python3.11", "python3.12"]
sdk-version = "1.42.0"

[tool.layerkit.layers]
base = ["quick", "brown"]
web = ["fox", "lazy"]
data = ["dog", "old"]
"""


@pytest.fixture(scope="module")
def crowd(aws_server: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Start a scheduler and three workers for all tests of this file; one of them will be killed."""
    environment = {**variables(aws_server.url), "NO_PROXY": "127.0.0.1,localhost"}
    with Crowd(tmp_path_factory.mktemp("crowd"), workers=3, environment=environment) as crowd:
        yield crowd


class Shop:
    """A project with an index, built here or by others."""

    def __init__(self, root: Path, index: Loopback, crowd: Crowd, capsys: Capture) -> None:
        """Lay it down."""
        wheels = index.folder
        assert wheels is not None
        make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
        make_wheel(wheels, "botocore", "1.42.0")
        for number, name in enumerate(NAMES):
            files = {f"{name}/m{one}.py": f"x = {number * one}  # {root}\n" for one in range(5)}
            make_wheel(wheels, name, "1.0", files=files)
        self.root, self.index, self.crowd, self.capsys = root, index, crowd, capsys
        root.mkdir()
        (root / "pyproject.toml").write_text(PYPROJECT)

    def build(self, name: str, *arguments: str) -> tuple[int, str]:
        """Build into a folder with an empty store of its own; return the exit code and what was said."""
        os.environ["LAYERKIT_CACHE"] = str(self.root / f"store-{name}")
        self.capsys.readouterr()
        code = run(["build", str(self.root), "--output", str(self.root / f"out-{name}"), *arguments])
        settle()
        return code, self.capsys.readouterr().err

    def away(self, name: str, *arguments: str) -> tuple[int, str]:
        """Build with the workers, through the shared store."""
        os.environ["LAYERKIT_STORE"] = "s3://shared/ours"
        try:
            return self.build(name, "--scheduler", self.crowd.address, *arguments)
        finally:
            del os.environ["LAYERKIT_STORE"]

    def files(self, name: str) -> dict[str, bytes]:
        """Return all that was written."""
        root = self.root / f"out-{name}"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def shop(
    crowd: Crowd,
    cloud: Cloud,
    index: Loopback,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """Give a project, an empty bucket and the workers."""
    monkeypatch.setenv("LAYERKIT_CACHE", "")
    cloud.client("s3", "us-east-1").create_bucket(Bucket="shared")
    return Shop(tmp_path / "shop", index, crowd, capsys)


def test_workers_write_the_bytes_that_this_machine_writes(shop: Shop) -> None:
    code, said = shop.away("away")
    assert code == 0, said
    assert "python3.12-x86_64: preparing 6 wheels" in said
    assert "python3.12-x86_64: composing 3 layers" in said
    assert not list((shop.root / "store-away").rglob("*.run"))
    worked = [one for one in shop.crowd.folder.glob("worker-*") if list(one.rglob("*.run"))]
    assert len(worked) > 1
    assert shop.build("here")[0] == 0
    assert shop.files("away") == shop.files("here") != {}
    assert sum(name.endswith(".zip") for name in shop.files("here")) == 6


def test_a_wheel_that_is_refused_is_the_error_that_it_is_here(shop: Shop) -> None:
    assert shop.index.folder
    make_wheel(shop.index.folder, "fox", "1.0", without=["WHEEL"])
    here, away = shop.build("here"), shop.away("away")
    assert here[0] == away[0] == WheelError.exit_code
    assert _error(here[1]) == _error(away[1]) != ""


def test_a_worker_has_credentials_of_its_own(shop: Shop) -> None:
    """What this machine has to offer an index never reaches a worker, nor is it in what is sent."""
    seen: list[bytes] = []
    wheel = WheelRef(filename="a-1-py3-none-any.whl", sha256="a" * 64, url="https://me:secret@host/a-1.whl")
    package = LockedPackage(name="a", version="1", wheel=wheel)

    class Watched:
        """Takes orders and keeps them as they would travel."""

        def hand_over(self, *_: object) -> None:
            pass

        def do(self, work: Any, orders: Any, _talk: Any) -> None:
            seen.append(pickle.dumps((work, orders)))

    session = open_session(shop.root, talk=lambda _text: None, progress=progress(quiet=True))
    watched: Any = Watched()
    _prepare_away(session, watched, session.targets[0], [package], Means(settings=Settings()))
    (sent,) = seen
    assert b"https://host/a-1.whl" in sent
    assert b"secret" not in sent


def test_a_worker_that_is_killed_costs_time_and_nothing_else(shop: Shop) -> None:
    assert shop.build("here")[0] == 0
    for name in NAMES:  # whoever prepares one of these has to wait for it
        shop.index.script(f"{name}-1.0-py3-none-any.whl", *[Fault(wait=1.0)] * 2)
    shop.index.busiest = 0
    killer = threading.Thread(target=_kill_at_work, args=(shop,))
    killer.start()
    code, said = shop.away("away")
    killer.join()
    assert code == 0, said
    assert shop.crowd.workers[0].returncode == -9
    assert shop.index.busiest >= len(shop.crowd.workers)
    assert shop.files("away") == shop.files("here")


def _kill_at_work(shop: Shop) -> None:
    """Kill a worker as soon as it fetches a wheel, which all of them do then."""
    end = time.monotonic() + 60
    while time.monotonic() < end and shop.index.busiest < len(shop.crowd.workers):
        time.sleep(0.01)
    shop.crowd.kill(0)


def test_a_worker_with_other_recipes_is_refused(shop: Shop) -> None:
    (shop.crowd.folder / "old").mkdir()
    script = "import layerkit; layerkit.__version__ = '0.0.1'"
    (shop.crowd.folder / "old" / "sitecustomize.py").write_text(script)
    old = shop.crowd.add("other", PYTHONPATH=str(shop.crowd.folder / "old"))
    try:
        _until(lambda: "other" in shop.crowd.names())
        code, said = shop.away("away")
    finally:
        old.kill()
        old.wait(60)
        _until(lambda: "other" not in shop.crowd.names())
    assert code == ClusterError.exit_code
    assert "has layerkit 0.0.1 (" in _error(said)
    assert len(said.split("error:")[1].splitlines()) == 2


def test_a_scheduler_that_does_not_answer_is_an_error_within_seconds(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cloud
    monkeypatch.setattr("layerkit.cluster._ANSWER", 1.0)
    store = SharedStore(tmp_path, Far(bucket="shared", prefix=""), lambda _text: None)
    since = time.monotonic()
    with open_cluster("tcp://127.0.0.1:9", store) as cluster, pytest.raises(ClusterError) as refused:
        cluster.ask(kit)
    assert time.monotonic() - since < 30
    assert refused.value.what.startswith("the scheduler does not answer")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8786", "tcp://host", "http://host:1", "tcp://user:pass@host:1"]
)
def test_an_address_is_one_of_a_scheduler(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no address of a scheduler"):
        open_cluster(address, Store(tmp_path))


def test_without_a_shared_store_there_is_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is none") as refused:
        open_cluster("tcp://host:1", Store(tmp_path))
    assert refused.value.fix is not None
    assert "LAYERKIT_STORE" in refused.value.fix
    reading = SharedStore(tmp_path, Far(bucket="shared", prefix=""), lambda _text: None, read_only=True)
    with pytest.raises(ConfigError, match="read only"):
        open_cluster("tcp://host:1", reading)


def test_without_the_extra_the_way_to_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.cluster.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="not installed") as refused:
        open_cluster("tcp://host:1", Store(tmp_path))
    assert refused.value.fix == "install the extra: pip install 'layerkit[cluster]'"


def test_logs_of_a_build_that_failed_elsewhere_come_with_its_error(tmp_path: Path) -> None:
    error = BuildError("broke", where="image", fix="the whole log: /their/folder/logs/demo.log")
    vars(error)["logs"] = ("/their/folder", {"demo.log": "gcc: no"})
    error = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    keep_logs(error, tmp_path)
    assert (tmp_path / "logs" / "demo.log").read_text() == "gcc: no"
    assert error.fix == f"the whole log: {tmp_path}/logs/demo.log"


def test_who_names_no_scheduler_imports_nothing_of_it() -> None:
    names = "{'distributed', 'layerkit.cluster'}"
    said = f"import sys, layerkit.cli, layerkit.build; sys.exit(bool({names} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", said], check=False).returncode == 0


def _error(said: str) -> str:
    """Return the error in what was said, from its first line to its end."""
    return said[said.find("error:") :] if "error:" in said else ""


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
