from __future__ import annotations

import gc
import hashlib
import json
import os
import socket
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from fake_engine import FakeEngine
from layerkit.container import engine as engines
from layerkit.container import owner
from layerkit.container.engine import OWNER, connect, present
from layerkit.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as engine:
        yield engine


def refusal(environment: dict[str, str]) -> EngineError:
    with warnings.catch_warnings():
        # The SDK leaves a socket that could not connect to the garbage collection.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(EngineError) as caught:
            connect(environment)
        error = caught.value
        del caught
        error.__cause__ = error.__context__ = error.__traceback__ = None
        gc.collect()
    return error


def context(folder: Path, name: str, host: str) -> dict[str, str]:
    """Write a docker context and choose it; return the environment that names the folder."""
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    (folder / "config.json").write_text(json.dumps({"currentContext": name}))
    return {"DOCKER_CONFIG": str(folder)}


# Whether there is one


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DOCKER_HOST": "tcp://host:2375"}, True),
        ({"DOCKER_HOST": "ssh://me@host"}, True),
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, False),
        ({"DOCKER_CONTEXT": "remote"}, True),
        ({"DOCKER_CONTEXT": "default"}, False),
        ({}, False),
    ],
)
def test_an_engine_may_be_there_where_somebody_names_one(
    environment: dict[str, str],
    expected: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_DEFAULT_SOCKET", str(tmp_path / "docker.sock"))
    assert present({"HOME": str(tmp_path), **environment}) is expected
    (tmp_path / "docker.sock").touch()
    assert present({"HOME": str(tmp_path)})


def test_a_chosen_context_names_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_DEFAULT_SOCKET", str(tmp_path / "docker.sock"))
    (tmp_path / ".docker").mkdir()
    for text in ("", "[]", "{}", '{"currentContext": "default"}', '{"currentContext": null}'):
        (tmp_path / ".docker" / "config.json").write_text(text)
        assert not present({"HOME": str(tmp_path)}), text
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "desktop-linux"}')
    assert present({"HOME": str(tmp_path)})


def test_asking_for_one_imports_nothing_of_docker() -> None:
    program = (
        "import sys; from layerkit.container.engine import present; present(); print('docker' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"
    )


# Connecting


def test_the_engine_says_what_it_is(fake: FakeEngine) -> None:
    engine = connect({"DOCKER_HOST": fake.address})
    assert (engine.where, engine.version, engine.arch) == (fake.address, "1.41", "x86_64")
    engine.close()


def test_the_engines_own_version_of_the_api_is_spoken(tmp_path: Path) -> None:
    with FakeEngine(tmp_path, api="1.52", arch="aarch64") as fake:
        engine = connect({"DOCKER_HOST": fake.address})
        assert (engine.version, engine.arch, engine.client.api_version) == ("1.52", "arm64", "1.52")
        engine.close()


@pytest.mark.parametrize("chosen", ["by the file", "by the environment"])
def test_a_docker_context_is_followed(
    chosen: str, fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = context(tmp_path / "docker", "far", fake.address)
    if chosen == "by the environment":
        (tmp_path / "docker" / "config.json").write_text("{}")
        environment["DOCKER_CONTEXT"] = "far"
    monkeypatch.setenv("DOCKER_CONFIG", environment["DOCKER_CONFIG"])
    engine = connect(environment)
    assert engine.where == f"docker context far ({fake.address})"
    engine.close()


def test_docker_host_comes_before_a_context(fake: FakeEngine, tmp_path: Path) -> None:
    environment = context(tmp_path / "docker", "far", "tcp://nowhere.invalid:1")
    engine = connect({**environment, "DOCKER_HOST": fake.address})
    assert engine.where == fake.address
    engine.close()


def test_a_context_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    error = refusal({"DOCKER_CONTEXT": "far"})
    assert error.what == "there is no docker context called 'far'"


@pytest.mark.parametrize("how", ["nothing there", "nobody listens", "no socket"])
def test_without_an_engine_the_error_says_how_to_have_one(how: str, tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    if how == "nobody listens":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif how == "no socket":
        path.touch()
    error = refusal({"DOCKER_HOST": f"unix://{path}"})
    assert error.what == "no container engine answers"
    assert error.where == f"unix://{path}"
    assert "start Docker" in (error.fix or "")


def test_a_socket_that_this_user_may_not_use(fake: FakeEngine, tmp_path: Path) -> None:
    connect({"DOCKER_HOST": fake.address}).close()  # all is imported that nobody else may read
    (tmp_path / "engine.sock").chmod(0)
    root = os.geteuid() == 0
    if root:
        tmp_path.chmod(0o755)
        os.seteuid(65534)
    try:
        error = refusal({"DOCKER_HOST": fake.address})
    finally:
        if root:
            os.seteuid(0)
    assert error.what == "this user may not use the engine's socket"
    assert "add the user to the group `docker`" in (error.fix or "")


def test_an_engine_that_is_too_old(tmp_path: Path) -> None:
    with FakeEngine(tmp_path, api="1.40") as fake:
        error = refusal({"DOCKER_HOST": fake.address})
    assert "the engine is too old: it is 20.10.24 with API 1.40; 1.41 is needed" in error.what
    assert "20.10" in (error.fix or "")


@pytest.mark.parametrize("answer", [None, (200, {}), (200, []), (500, {"message": "no"}), (200, b"<html>")])
def test_what_is_no_engine_is_told_in_one_message(
    answer: tuple[int, object] | None, fake: FakeEngine
) -> None:
    fake.answers["GET /version"] = answer
    assert refusal({"DOCKER_HOST": fake.address}).what.startswith("the engine cannot be reached: ")


@pytest.mark.parametrize("host", ["gopher://x", "tcp://", "unix://a?b=c", "tcp://x:1#y"])
def test_an_address_that_is_none(host: str) -> None:
    said = refusal({"DOCKER_HOST": host}).what
    assert said.startswith(
        ("the settings of the engine cannot work: ", "the engine cannot be reached: Invalid")
    )


def test_credentials_in_an_address_are_not_shown() -> None:
    error = refusal({"DOCKER_HOST": "tcp://me:word@nowhere.invalid:1"})
    assert "word" not in str(error)


def test_certificates_that_are_missing_are_named(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert "certificate" in refusal(environment).what


# In the middle


def test_an_engine_that_goes_away_is_one_message(fake: FakeEngine) -> None:
    engine = connect({"DOCKER_HOST": fake.address})
    fake.answers["GET /containers/json"] = None
    with pytest.raises(EngineError) as caught, engine.talking("counting"):
        engine.client.containers()
    assert caught.value.what.startswith("the engine went away while counting (")
    engine.close()


def test_a_failure_of_the_engine_is_its_own_words(fake: FakeEngine) -> None:
    engine = connect({"DOCKER_HOST": fake.address})
    fake.answers["GET /containers/json"] = 500, {"message": "pulling https://me:word@host failed"}
    with pytest.raises(EngineError) as caught, engine.talking("counting"):
        engine.client.containers()
    assert caught.value.what == "the engine failed while counting: pulling https://host failed"
    engine.close()


def test_a_full_disk_is_told_with_what_frees_it(fake: FakeEngine) -> None:
    engine = connect({"DOCKER_HOST": fake.address})
    fake.answers["POST /containers/create"] = 500, {"message": "mkdir /var: no space left on device"}
    with pytest.raises(EngineError) as caught, engine.talking("starting"):
        engine.client.create_container("a", command="b")
    assert caught.value.what.startswith("no room is left on the engine's disk while starting")
    assert "docker system prune" in (caught.value.fix or "")
    engine.close()


# What is left behind


def test_only_what_dead_runs_of_this_host_left_is_swept(fake: FakeEngine) -> None:
    alive = owner.mark()
    host, boot, _, start = alive.split(".")
    dead, elsewhere = f"{host}.{boot}.{2**22 + 1}.{start}", f"elsewhere.{boot}.{2**22 + 1}.{start}"
    labels = {"alive": alive, "dead": dead, "elsewhere": elsewhere, "nobody": ""}
    fake.answers["GET /containers/json"] = (
        200,
        [{"Id": name, "Labels": {OWNER: text}} for name, text in labels.items()],
    )
    fake.answers["GET /volumes"] = 200, {"Volumes": [{"Name": "v", "Labels": {OWNER: dead}}]}
    fake.answers["GET /images/json"] = (
        200,
        [{"Id": "i", "Labels": {OWNER: dead}}, {"Id": "j", "Labels": None}],
    )
    for question in ("DELETE /containers/dead", "DELETE /volumes/v", "DELETE /images/i"):
        fake.answers[question] = 200, []
    engine = connect({"DOCKER_HOST": fake.address})
    assert engine.sweep() == 3
    removed = [question for question in fake.asked if question.startswith("DELETE")]
    assert removed == ["DELETE /containers/dead", "DELETE /volumes/v", "DELETE /images/i"]
    assert engine.labels(kind="room") == {OWNER: alive, "layerkit.kind": "room"}
    engine.close()


def test_what_another_run_removes_at_this_moment_is_passed_over(fake: FakeEngine) -> None:
    host, boot, _, start = owner.mark().split(".")
    dead = f"{host}.{boot}.{2**22 + 1}.{start}"
    fake.answers["GET /containers/json"] = 200, [{"Id": "gone", "Labels": {OWNER: dead}}]
    fake.answers["GET /volumes"] = 200, {"Volumes": None}
    fake.answers["GET /images/json"] = 200, []
    engine = connect({"DOCKER_HOST": fake.address})
    assert engine.sweep() == 0
    engine.close()
