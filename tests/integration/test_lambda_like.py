"""Functions started as on Lambda: what they find there, what they can write, how their errors come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from confined import unconfined
from lambda_like import FunctionError, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lambda_like import Function

pytestmark = pytest.mark.integration

HANDLER = """
import os, sys

def write(path):
    try:
        with open(path, "w"):
            return "written"
    except OSError as error:
        return type(error).__name__ + ": " + os.strerror(error.errno)

def handler(event, context):
    print("an event came")
    if event == "fail":
        raise ValueError("as it was asked to")
    state = os.statvfs("/tmp")
    return {
        "event": event,
        "path": sys.path,
        "folder": os.getcwd(),
        "writes": {path: write(path + "/x") for path in ("/opt", "/var/task", "/var/lang", "/", "/tmp")},
        "tmp": state.f_blocks * state.f_frsize,
        "left": context.get_remaining_time_in_millis(),
        "seen": sorted(os.listdir("/")),
    }
"""


def test_a_function_finds_what_it_finds_on_lambda(
    make_function: Callable[..., Function], tmp_path: Path
) -> None:
    function = make_function(HANDLER)
    with started(function, tmp_path / "run") as running:
        answer: dict[str, Any] = running.invoke({"number": 1})
        again = running.invoke([1, "zwei"])
        log = running.log()
    minor = function.target.minor
    assert answer["event"] == {"number": 1}
    assert again["event"] == [1, "zwei"]
    assert answer["folder"] == "/var/task"
    assert answer["path"][:3] == ["/var/task", f"/opt/python/lib/python{minor}/site-packages", "/opt/python"]
    refused = "OSError: Read-only file system"
    assert answer["writes"] == {
        "/opt": refused,
        "/var/task": refused,
        "/var/lang": refused,
        "/": refused,
        "/tmp": "written",  # noqa: S108 - Lambda's
    }
    assert answer["tmp"] == 512 << 20
    assert 0 < answer["left"] <= 60_000
    assert {"home", "root", "srv", "work"}.isdisjoint(answer["seen"])
    assert log.count("an event came") == 2
    assert 0 < running.init_seconds < 30


def test_errors_come_back_as_lambda_reports_them(
    make_function: Callable[..., Function], tmp_path: Path
) -> None:
    with started(make_function(HANDLER), tmp_path / "run") as running:
        with pytest.raises(FunctionError, match="ValueError: as it was asked to"):
            running.invoke("fail")
        assert running.invoke("go on")["event"] == "go on"


def test_what_goes_wrong_at_the_start_is_an_error_of_the_start(
    make_function: Callable[..., Function], tmp_path: Path
) -> None:
    with (
        pytest.raises(FunctionError, match="No module named 'absent'") as caught,
        started(make_function("import absent\n"), tmp_path / "run"),
    ):
        pass
    assert caught.value.kind == "Runtime.ImportModuleError"
    with (
        pytest.raises(FunctionError, match="Runtime exited with 3: the end"),
        started(make_function("import os\nprint('the end', flush=True)\nos._exit(3)\n"), tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize(("environment", "mark"), [({}, "it ran"), ({"PYTHONPATH": "/var/task"}, None)])
def test_a_pth_file_in_a_layer_runs_unless_pythonpath_is_set(
    make_function: Callable[..., Function], tmp_path: Path, environment: dict[str, str], mark: str | None
) -> None:
    code = "import builtins\ndef handler(event, context):\n    return getattr(builtins, 'mark', None)\n"
    function = make_function(code, environment=environment)
    site = function.opt / function.target.site_packages("versioned")
    site.mkdir(parents=True)
    (site / "mark.pth").write_text("import builtins; builtins.mark = 'it ran'\n")
    with started(function, tmp_path / "run") as running:
        assert running.invoke(None) == mark


GREEDY = """
import os

def handler(event, context):
    with open("/tmp/large", "wb") as file:  # a disk of its own, which is no memory of the function
        for _ in range(96):
            file.write(os.urandom(1 << 20))
    return len(b"x" * (event << 20))
"""


def test_a_function_is_killed_that_takes_more_memory_than_it_has(
    make_function: Callable[..., Function], tmp_path: Path
) -> None:
    if reason := unconfined():
        pytest.skip(f"memory cannot be limited: {reason}")
    function = make_function(GREEDY, tmp=128 << 20, memory=128 << 20)
    with started(function, tmp_path / "run") as running:
        assert running.invoke(32) == 32 << 20
        with pytest.raises(FunctionError, match="Runtime exited"):
            running.invoke(192)
    assert not list((tmp_path / "run").glob("tmp*"))
