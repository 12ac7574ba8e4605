"""layerkit invoke, as users type it: real interpreters, awslambdaric from the index, every kind of room."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from lambda_like import missing, without
from layerkit.archive import Piece, write_zip
from layerkit.schemas import schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.integration

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
HANDLER = """
import os, sys, time
import in_layer

def handler(event, context):
    print("an event came")
    if event.get("do") == "raise":
        raise ValueError("as it was asked to")
    if event.get("do") == "end":
        os._exit(3)
    if event.get("do") == "eat":
        return len(bytearray(400 << 20))
    if event.get("do") == "sleep":
        time.sleep(30)
    if event.get("do") == "answer":
        return "a" * 7_000_000
    handler.count = getattr(handler, "count", 0) + 1
    import boto3
    tmp = os.statvfs("/tmp")
    return {
        "count": handler.count,
        "layer": in_layer.value,
        "path": sys.path,
        "writes": written(),
        "mine": os.environ.get("MINE"),
        "sdk": boto3.__file__,
        "tmp": tmp.f_blocks * tmp.f_frsize,
    }

def written():
    for folder in (os.environ["LAMBDA_TASK_ROOT"], os.path.dirname(in_layer.__file__)):
        try:
            open(folder + "/x", "w")
            return True
        except OSError:
            pass
    return False
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text(HANDLER)
    for name in ("low", "high"):
        piece = Piece(name="python/in_layer.py", data=f"value = '{name}'\n".encode())
        write_zip(tmp_path / f"{name}.zip", [piece])
    for word in ("go", "raise", "end", "eat", "sleep", "answer"):
        (tmp_path / f"{word}.json").write_text(json.dumps({"do": word}))
    return tmp_path


def command(*more: str) -> list[str]:
    words = ["invoke", "low.zip", "high.zip", "-r", RUNTIME, "--code", "code", "--handler", "app.handler"]
    return [sys.executable, "-m", "layerkit", *words, *more]


def invoke(work: Path, store: Path, *more: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LAYERKIT_CACHE": str(store)}
    return subprocess.run(
        command(*more), cwd=work, env=env, input=stdin, capture_output=True, text=True, check=False
    )


def events(*words: str) -> list[str]:
    return [part for word in words for part in ("--event", f"{word}.json")]


def answers(done: subprocess.CompletedProcess[str]) -> list[Any]:
    assert "fault of layerkit" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def rooms() -> Sequence[str]:
    return ("namespaces", "bubblewrap", "none")


@pytest.mark.parametrize("kind", rooms())
def test_a_handler_runs_on_its_layers(work: Path, store: Path, kind: str) -> None:
    if kind == "namespaces" and (reason := missing()):
        without(reason)
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        without("bubblewrap is not installed")
    more = (
        "--isolation",
        kind,
        "--env",
        "MINE=x=y",
        *events("go", "raise"),
        "--event",
        "-",
        "--timeout",
        "20",
    )
    done = invoke(work, store, *more, stdin='{"n": 3}')
    first, failed, again = answers(done)
    assert done.returncode == 13
    assert (first["count"], again["count"]) == (1, 2), "the second event found the environment warm"
    assert first["layer"] == "high"
    assert first["mine"] == "x=y"
    assert (failed["errorType"], failed["errorMessage"]) == ("ValueError", "as it was asked to")
    assert failed["stackTrace"]
    assert done.stderr.count("an event came") == 3
    assert done.stderr.count("INIT_START") == done.stderr.count("Init Duration: ") == 1
    assert done.stderr.count("REPORT RequestId: ") == 3
    if kind == "none":
        assert "isolation none: /opt and /var/task lie elsewhere and can be written to" in done.stderr
        assert not any(".venv" in entry for entry in first["path"])
        return
    task, layers, flat, site, *_ = first["path"]
    assert [task, layers, flat] == ["/var/task", f"/opt/python/lib/{RUNTIME}/site-packages", "/opt/python"]
    assert site in (f"/var/lang/lib/{RUNTIME}/site-packages", "/var/packages")
    assert first["sdk"] == f"{site}/boto3/__init__.py"
    assert first["writes"] is False
    assert first["tmp"] == 512 << 20


def test_what_ends_a_function_ends_an_event_and_not_the_next(work: Path, store: Path) -> None:
    if reason := missing():
        without(reason)
    words = ("end", "eat", "sleep", "answer", "go")
    done = invoke(work, store, *events(*words), "--timeout", "4", "--json")
    assert done.returncode == 13
    printed = json.loads(done.stdout)
    jsonschema.validate(printed, schema("invoke"))
    found = dict(zip(words, printed["results"], strict=True))
    assert [one["error_type"] for one in found.values()] == [
        "Runtime.ExitError",
        "Runtime.OutOfMemory",
        "Sandbox.Timedout",
        "Function.ResponseSizeTooLarge",
        None,
    ]
    assert found["end"]["payload"]["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert found["eat"]["payload"]["errorMessage"].endswith("signal: killed")
    assert found["sleep"]["payload"]["errorMessage"].endswith("Task timed out after 4.00 seconds")
    assert found["sleep"]["duration_ms"] == 4000
    assert found["sleep"]["status"] == "timeout"
    assert found["eat"]["memory_used"] > 120 << 20
    assert [one["init_ms"] is not None for one in found.values()] == [True, True, True, True, False]
    assert found["go"]["payload"]["count"] == 1


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("import absent\n", "Runtime.ImportModuleError", "No module named 'absent'"),
        ("def handler(:\n", "Runtime.UserCodeSyntaxError", "Syntax error"),
        ("x = 1\n", "Runtime.HandlerNotFound", "Handler 'handler' missing"),
        ("raise RuntimeError('no')\n", "RuntimeError", "no"),
        ("import os\nprint('the end', flush=True)\nos._exit(3)\n", "Runtime.ExitError", "exit status 3"),
    ],
)
def test_what_goes_wrong_at_the_start_is_the_answer(
    work: Path, store: Path, code: str, kind: str, words: str
) -> None:
    (work / "code/app.py").write_text(code)
    done = invoke(work, store, *events("go"))
    (answer,) = answers(done)
    assert done.returncode == 13
    assert (answer["errorType"], words in answer["errorMessage"]) == (kind, True)
    assert f"INIT_REPORT Phase: init\tStatus: error\tError Type: {kind}" in done.stderr


def test_watching_runs_again_when_the_code_changes(work: Path, store: Path) -> None:
    env = {**os.environ, "LAYERKIT_CACHE": str(store)}
    code = work / "code/app.py"
    code.write_text("def handler(event, context):\n    return 'before'\n")
    with (work / "out").open("w") as out, (work / "err").open("w") as err:
        process = subprocess.Popen(command("--watch"), cwd=work, env=env, stdout=out, stderr=err)
    try:
        _until(lambda: "watching" in (work / "err").read_text())
        code.write_text("def handler(event, context:\n")
        _until(lambda: "UserCodeSyntaxError" in (work / "out").read_text())
        code.write_text("def handler(event, context):\n    return 'after'\n")
        _until(lambda: '"after"' in (work / "out").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert (work / "out").read_text().startswith('"before"\n')


def test_nothing_is_left_when_the_command_is_ended(work: Path, store: Path) -> None:
    env = {**os.environ, "LAYERKIT_CACHE": str(store), "TMPDIR": str(work / "tmp")}
    (work / "tmp").mkdir()
    with (work / "err").open("w") as err:
        more = (*events("sleep"), "--timeout", "60")
        process = subprocess.Popen(command(*more), cwd=work, env=env, stdout=subprocess.DEVNULL, stderr=err)
    _until(lambda: "an event came" in (work / "err").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert list((work / "tmp").iterdir()) == []


def _until(true: Any) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)
