"""layerkit invoke --engine docker: events go to the emulator in the runtime's image.

The image is a stand-in, and so is its emulator: it has the entry point, the address and the words of Lambda's
own, and calls the handler itself. What is proved is all that lies between a command line and an emulator.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from layerkit.archive import Piece, write_zip
from layerkit.cli import run
from layerkit.schemas import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from stand_ins import StandIns

_EMULATOR = b"""#!/bin/sh
exec /var/lang/bin/python3.12 /emulator.py "$1"
"""
_PROGRAM = b"""
import importlib, json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
sys.path[:0] = ["/var/task", "/opt/python"]
module, _, name = sys.argv[1].rpartition(".")
began = time.time()
call = getattr(importlib.import_module(module), name)
started = time.time() - began
class Handler(BaseHTTPRequestHandler):
    count = 0
    def do_POST(self):
        assert self.path == "/2015-03-31/functions/function/invocations"
        Handler.count += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(f"START RequestId: r{Handler.count} Version: $LATEST", flush=True)
        began = time.time()
        try:
            answer = json.dumps(call(body, None))
        except TimeoutError:
            answer = "Task timed out after 3.00 seconds"
        except Exception as error:
            answer = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
        init = f"\\tInit Duration: {started * 1000:.2f} ms" if Handler.count == 1 else ""
        took = (time.time() - began) * 1000
        print(f"END RequestId: r{Handler.count}", flush=True)
        print(f"REPORT RequestId: r{Handler.count}{init}\\tDuration: {took:.2f} ms", flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
_HANDLER = """
import os
import in_layer

def handler(event, context):
    print("an event came")
    if event == "raise":
        raise ValueError("as it was asked to")
    if event == "sleep":
        raise TimeoutError
    def writes(folder):
        try:
            open(folder + "/x", "w")
            return True
        except OSError:
            return False
    return {
        "layer": in_layer.value,
        "event": event,
        "writes": [folder for folder in ("/opt", "/var/task", "/", "/tmp") if writes(folder)],
        "memory": os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        "mine": os.environ["MINE"],
        "user": os.getuid(),
    }
"""


@pytest.fixture(scope="module")
def image(engine: DockerClient, stand_ins: dict[str, StandIns]) -> Iterator[str]:
    """Give the stand-in of python3.12 with a stand-in of the emulator."""
    tag = "layerkit-test/emulator:1"
    dockerfile = f"FROM {stand_ins['python3.12'].run}\nADD files.tar /\n".encode()
    files = {"lambda-entrypoint.sh": _EMULATOR, "emulator.py": _PROGRAM}
    context = _tar({"Dockerfile": dockerfile, "files.tar": _tar(files)})
    engine.images.build(fileobj=io.BytesIO(context), custom_context=True, tag=tag, rm=True, forcerm=True)
    yield tag
    engine.images.remove(tag, force=True)


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    (tmp_path / "app.py").write_text(_HANDLER)
    write_zip(tmp_path / "l.zip", [Piece(name="python/in_layer.py", data=b"value = 'from the layer'\n")])
    for word in ("go", "raise", "sleep"):
        (tmp_path / f"{word}.json").write_text(json.dumps(word))
    return tmp_path


def invoke(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any], str]:
    words = ["l.zip", "-r", "py312", "-a", "x86_64", "--code", "app.py", "--handler", "app.handler", "--json"]
    code = run(["invoke", *words, "--engine", "docker", "--env", "MINE=yes", *more])
    printed = capsys.readouterr()
    return code, json.loads(printed.out), printed.err


def test_events_go_to_the_emulator_of_the_image(
    work: Path, image: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", image)
    events = [part for word in ("go", "raise", "sleep", "go") for part in ("--event", f"{word}.json")]
    code, document, said = invoke(capsys, *events, "--memory", "256")
    assert code == 13
    assert work
    jsonschema.validate(document, schema("invoke"))
    assert document["isolation"] == "docker"
    first, failed, late, again = document["results"]
    assert first["payload"] == {
        "layer": "from the layer",
        "event": "go",
        "writes": ["/tmp"],  # noqa: S108 - Lambda's
        "memory": "256",
        "mine": "yes",
        "user": 993,
    }
    assert failed["payload"] == {"errorType": "ValueError", "errorMessage": "as it was asked to"}
    assert (late["status"], late["error_type"]) == ("timeout", "Sandbox.Timedout")
    assert "Task timed out after 3.00 seconds" in late["payload"]["errorMessage"]
    assert [one["request_id"] for one in document["results"]] == ["r1", "r2", "r3", "r4"]
    assert first["init_ms"] is not None
    assert again["init_ms"] is None
    assert again["status"] == "success"
    assert said.count("an event came") == 4


def test_an_image_without_an_emulator_is_told(
    work: Path,
    stand_ins: dict[str, StandIns],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", stand_ins["python3.12"].run)
    code, document, _ = invoke(capsys)
    assert work
    assert code == 11
    assert "no emulator of Lambda" in document["what"]
