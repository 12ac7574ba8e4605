"""Builds that end before their time, and what is left of them on the engine."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from layerkit.container import owner
from layerkit.container.engine import OWNER
from sdists import Workshop, pure

if TYPE_CHECKING:
    import subprocess

_SLEEPS = "import time; print('ASLEEP', flush=True); time.sleep(300)"


@pytest.fixture
def bench(source_workshop: Workshop) -> Workshop:
    return source_workshop


def asleep(bench: Workshop, process: subprocess.Popen[str], *runtimes: str) -> list[Any]:
    """Wait until the builds for some runtimes sleep in their containers, and return these."""
    folder = bench.root / ".layerkit" / "logs"
    logs = [folder / f"python{runtime}-x86_64-sleeper-1.0.log" for runtime in runtimes]
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if all("ASLEEP" in log.read_text() for log in logs):
                return bench.containers()
        time.sleep(0.1)
    raise AssertionError(process.communicate())


@pytest.fixture
def sleeper(bench: Workshop) -> Workshop:
    pure(bench.wheels, "sleeper", _SLEEPS)
    bench.declare("sleeper")
    return bench


@pytest.mark.parametrize(
    ("number", "code", "runtimes"),
    [
        (signal.SIGINT, 130, ["3.12"]),
        (signal.SIGTERM, 143, ["3.12"]),
        (signal.SIGINT, 130, ["3.9", "3.12"]),
        (signal.SIGTERM, 143, ["3.9", "3.12"]),
    ],
)
def test_an_interrupted_build_takes_its_containers_away(
    number: signal.Signals, code: int, runtimes: list[str], sleeper: Workshop
) -> None:
    sleeper.declare("sleeper", runtimes=runtimes)
    process = sleeper.start("build")
    assert len(asleep(sleeper, process, *runtimes)) == len(runtimes)
    begun = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    assert process.returncode == code
    assert time.monotonic() - begun < 90
    assert "Traceback" not in said
    assert sleeper.containers() == []


def test_what_a_killed_build_leaves_is_removed_by_the_next(sleeper: Workshop) -> None:
    process = sleeper.start("build")
    (left,) = asleep(sleeper, process, "3.12")
    process.kill()
    process.communicate()
    assert owner.is_gone(left.labels[OWNER])
    # Of a run on another host, and of one that is alive, nothing is touched.
    _, boot, number, start = left.labels[OWNER].split(".")
    others = [
        sleeper.engine.containers.create(
            left.image, entrypoint=["sleep"], command=["60"], labels={OWNER: mark}
        )
        for mark in (f"elsewhere.{boot}.{number}.{start}", owner.mark())
    ]
    volume = sleeper.engine.volumes.create(labels={OWNER: left.labels[OWNER]})
    try:
        pure(sleeper.wheels, "awake", "")
        sleeper.declare("awake")
        sleeper.build()
        assert sleeper.containers() == [others[0]]
        others[1].reload()
        assert volume.name not in [one.name for one in sleeper.engine.volumes.list()]
    finally:
        for other in others:
            other.remove(force=True)


def test_a_container_that_somebody_removes_ends_the_build_with_one_message(sleeper: Workshop) -> None:
    process = sleeper.start("build")
    asleep(sleeper, process, "3.12")[0].remove(force=True)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (10, 11), said
    assert "Traceback" not in said
    assert said.count("error: ") == 1
