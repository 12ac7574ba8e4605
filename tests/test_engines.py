"""Which engine is used: by whose word, for what, and that none is met where none is needed."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from factory import make_wheel
from layerkit.container import engine as container_engine
from layerkit.engines import Engines, Use, rule_of
from layerkit.errors import EngineError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Loopback

KEY = "python3.12-x86_64"
# Runs a command line and then says which modules of docker were imported, and whom anybody called.
_WATCHED = """
import json, sys
called = []
sys.addaudithook(lambda event, given: called.append(str(given[1])) if event == "socket.connect" else None)
from layerkit.cli import run
code = run(sys.argv[1:])
docker = sorted(name for name in sys.modules if name.partition(".")[0] == "docker")
print(json.dumps({"code": code, "docker": docker, "called": called}), file=sys.stderr)
"""


class Fake:
    """An engine that was connected to."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    one, calls = Fake(), list[int]()

    def connect() -> Fake:
        calls.append(1)
        assert len(calls) == 1, "connected twice"
        return one

    monkeypatch.setattr(container_engine, "connect", connect)
    return one


@pytest.mark.parametrize(
    ("option", "variable", "configured", "rule"),
    [
        (None, None, None, "auto"),
        (None, None, "wheels", "wheels"),
        (None, "docker", "wheels", "docker"),
        ("auto", "docker", "wheels", "auto"),
        (None, "  ", "docker", "docker"),
    ],
)
def test_the_option_counts_before_the_environment_before_the_project(
    option: str | None, variable: str | None, configured: Any, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAYERKIT_ENGINE", raising=False)
    if variable is not None:
        monkeypatch.setenv("LAYERKIT_ENGINE", variable)
    assert rule_of(option, configured) == rule


def test_a_word_in_the_environment_that_is_no_engine_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERKIT_ENGINE", "podman")
    with pytest.raises(UsageError, match="LAYERKIT_ENGINE: there is no engine called 'podman'") as refused:
        rule_of(None, None)
    assert refused.value.fix == "known: auto, docker, wheels"


def test_an_engine_is_connected_to_once_and_every_reason_is_said_once(fake: Fake) -> None:
    said: list[str] = []
    with Engines(rule="auto", talk=said.append) as engines:
        assert engines.use(KEY) == Use(asked="auto", used="wheels", reason="nothing here needs Docker")
        rooms = engines.need(KEY, "gdal 3.9 has no wheel")
        assert id(rooms.engine) == id(fake)
        for why in ("gdal 3.9 has no wheel", "the layer geo is a Dockerfile"):
            assert engines.need(KEY, why) is rooms
        assert fake.closed == 0
    assert fake.closed == 1
    assert said == [
        f"{KEY}: engine docker: gdal 3.9 has no wheel",
        f"{KEY}: engine docker: the layer geo is a Dockerfile",
    ]
    reason = "gdal 3.9 has no wheel; the layer geo is a Dockerfile"
    assert engines.use(KEY).as_json() == {"asked": "auto", "used": "docker", "reason": reason}
    assert engines.use("python3.9-x86_64").used == "wheels"


def test_the_rule_wheels_refuses_what_takes_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_engine, "connect", lambda: pytest.fail("connected"))
    engines = Engines(rule="wheels", talk=lambda _text: None)
    with pytest.raises(UsageError, match="has no wheel: that takes Docker") as refused:
        engines.need(KEY, "gdal 3.9 has no wheel")
    assert "--engine auto" in (refused.value.fix or "")
    assert engines.use(KEY) == Use(asked="wheels", used="wheels", reason="as asked")


# The docker SDK leaves a socket that could not be connected to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_engine_that_is_not_there_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match="no container engine answers") as refused:
        Engines(rule="docker", talk=lambda _text: None).need(KEY, "everything happens inside")
    # The SDK leaves the socket that found nobody to the collector, which says so.
    refused.value.__cause__ = None
    del refused
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def shop(index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay down a project of wheels alone; whoever looks for an engine finds a socket that nobody serves."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "lib", "1.0")
    assert index.names()
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\ndependencies = ["lib"]\n'
        '[tool.layerkit]\nruntimes = ["py312"]\nsdk-version = "1.42.0"\n'
    )
    return folder


@pytest.mark.parametrize("rule", ["auto", "wheels"])
def test_a_build_of_wheels_imports_no_docker_and_calls_no_engine(shop: Path, rule: str) -> None:
    reasons = {"auto": "nothing here needs Docker", "wheels": "as asked"}
    for command in ("lock", "build", "build", "plan", "check"):
        where = ["--project", str(shop)] if command == "check" else [str(shop)]
        options = ["--engine", rule, *(["--json"] if command in ("lock", "build") else [])]
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED, command, *options, *where],
            capture_output=True,
            text=True,
            check=False,
        )
        watched = json.loads(done.stderr.splitlines()[-1])
        assert (watched["code"], watched["docker"]) == (0, []), done.stderr
        assert [one for one in watched["called"] if "docker" in one] == []
        if "--json" in options:
            (one,) = json.loads(done.stdout)["targets"]
            assert one["engine"] == {"asked": rule, "used": "wheels", "reason": reasons[rule]}


def test_a_build_says_its_engine_in_one_line(shop: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "layerkit", "build", str(shop)], capture_output=True, text=True, check=True
        )
        lines = [line for line in done.stderr.splitlines() if "engine" in line]
        assert lines == [f"{KEY}: engine wheels: nothing here needs Docker"]
