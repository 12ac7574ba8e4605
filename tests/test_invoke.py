"""The parts of invoke that need no other interpreter: values, events, folders, rooms, the Runtime API."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from layerkit.cli import run
from layerkit.cli.invoking import _variables
from layerkit.container.stage import MIB, Limits
from layerkit.errors import LimitExceededError, UsageError, WheelError
from layerkit.invoke import Job, layout, memory, room, watch
from layerkit.invoke import runtime as runtimes
from layerkit.invoke.api import Event, RuntimeApi
from layerkit.invoke.events import LARGEST, read_events
from layerkit.invoke.function import Folders, Function, Outcome
from layerkit.project.specs import FunctionSpec
from layerkit.store import Store
from layerkit.target import parse_arch, target
from zips import zipped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FUNCTION = Function(target=target("py312"), name="api", limits=Limits(memory=128 * MIB, tmp=512 * MIB))


def outcome(**more: Any) -> Outcome:
    return Outcome(**{"request": "r", "payload": b"1", "seconds": 0.0123, "memory": 40 * MIB, **more})


def test_the_report_is_the_line_that_users_know() -> None:
    assert outcome(init=0.2).report(FUNCTION) == (
        "REPORT RequestId: r\tDuration: 12.30 ms\tBilled Duration: 213 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 40 MB\tInit Duration: 200.00 ms"
    )
    assert outcome(memory=500 * MIB).report(FUNCTION).endswith("Max Memory Used: 128 MB")
    assert "Max Memory" not in outcome(memory=None).report(FUNCTION)
    assert outcome(status="timeout", error="Sandbox.Timedout").report(FUNCTION).endswith("Status: timeout")
    crashed = outcome(status="error", error="Runtime.ExitError").report(FUNCTION)
    assert crashed.endswith("Status: error\tError Type: Runtime.ExitError")
    assert "Status" not in outcome(status="error", error="ValueError").report(FUNCTION)


def test_the_function_has_lambdas_variables_and_its_own_above_them() -> None:
    own = Function(
        target=target("py39"), name="api", environment={"TZ": "Asia/Tokyo", "AWS_REGION": "eu-west-1"}
    )
    found = own.variables("127.0.0.1:1")
    assert found["TZ"] == "Asia/Tokyo"
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "api"
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.9"
    assert found["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:1"
    assert own.arn == "arn:aws:lambda:eu-west-1:123456789012:function:api"


def test_variables_of_the_command_line() -> None:
    shell = {"AWS_ACCESS_KEY_ID": "k", "AWS_ENDPOINT_URL_S3": "http://localhost", "HOME": "/root", "A": "b"}
    assert _variables(["A", "B=c=d"], shell, aws=False) == {"A": "b", "B": "c=d"}
    assert set(_variables([], shell, aws=True)) == {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL_S3"}
    for wrong, said in (
        ("=x", "not the name"),
        ("1=x", "not the name"),
        ("MISSING", "not set in this shell"),
    ):
        with pytest.raises(UsageError, match=said):
            _variables([wrong], shell, aws=False)


def test_events_come_from_files_and_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.json").write_text('{"a": 1}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[2]")))
    found = read_events([str(tmp_path / "e.json"), "-"])
    assert [one.payload for one in found] == [b'{"a": 1}', b"[2]"]
    assert found[1].name == "stdin"
    assert read_events([])[0].payload == b"{}"


def test_an_event_that_lambda_would_refuse_is_refused(tmp_path: Path) -> None:
    wrong, large = tmp_path / "wrong.json", tmp_path / "large.json"
    wrong.write_text("{a: 1}")
    large.write_bytes(b'"' + b"a" * LARGEST + b'"')
    for names, said in (
        ([str(tmp_path / "absent")], "cannot be read: No such file"),
        ([str(wrong)], "is no JSON: Expecting property name"),
        ([str(large)], "6,291,458 bytes, and Lambda takes 6,291,456"),
        (["-", "-"], "read once"),
    ):
        with pytest.raises(UsageError, match=said):
            read_events(names)


def test_a_later_layer_lies_over_an_earlier_one(tmp_path: Path) -> None:
    low = zipped(tmp_path / "low.zip", {"python/a.py": "low", "python/b": "a file"})
    high = zipped(tmp_path / "high.zip", {"python/a.py": "high", "python/b/c.py": "now a folder"})
    opt = tmp_path / "opt"
    opt.mkdir()
    layout.lay_layers([low, high], opt)
    assert (opt / "python/a.py").read_text() == "high"
    assert (opt / "python/a.py").stat().st_mtime == 315_532_800, "bytecode is held against the date"
    assert (opt / "python/b/c.py").read_text() == "now a folder"
    assert layout.key([low, high]) != layout.key([high, low])


def test_files_that_only_their_owner_may_read_are_unreadable(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "layer.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("private", 0o600), ("public", 0o644), ("program", 0o755)):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (0o100000 | mode) << 16
            archive.writestr(info, name)
    opt = tmp_path / "opt"
    opt.mkdir()
    layout.lay_layers([path], opt)
    assert [(opt / name).stat().st_mode & 0o777 for name in ("private", "public", "program")] == [
        0,
        0o444,
        0o555,
    ]


def test_what_lambda_would_not_take_is_refused(tmp_path: Path) -> None:
    layer = zipped(tmp_path / "l.zip", {"python/a.py": ""})
    with pytest.raises(LimitExceededError, match="5 layers at most, and these are 6"):
        layout.lay_layers([layer] * 6, tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(262_144_000)
    with pytest.raises(LimitExceededError, match="fewer than 262,144,000"):
        layout.check_size(tmp_path, tmp_path / "absent")
    (tmp_path / "no.zip").write_text("no zip")
    with pytest.raises(WheelError):
        layout.lay_layers([tmp_path / "no.zip"], tmp_path)
    with pytest.raises(UsageError, match=r"cannot be read"):
        layout.key([tmp_path / "absent.zip"])


def test_code_is_a_folder_a_file_or_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "app.py").write_text("x = 1")
    (folder / "__pycache__" / "app.pyc").write_text("old")
    packed = zipped(tmp_path / "code.zip", {"app.py": "x = 1"})
    for number, code in enumerate((folder, folder / "app.py", packed)):
        task = tmp_path / f"task{number}"
        task.mkdir()
        layout.lay_code(FunctionSpec(name="f", code=code), task)
        assert [path.name for path in task.rglob("*")] == ["app.py"]


def test_memory_of_a_process_and_of_its_children() -> None:
    code = "import subprocess, sys; x = bytearray(60 << 20); print(flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        meter = memory.Meter(process.pid)
        assert meter.look() > 60 << 20
        assert meter.peak > 60 << 20
        assert meter._ps() > 60 << 20
        process.stdin.close()


def test_a_room_that_cannot_be_had_is_refused_and_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_why_no_namespaces", lambda: "not here")
    monkeypatch.setattr(room, "_why_no_bubblewrap", lambda: "bwrap is not installed")
    with pytest.raises(UsageError, match="namespaces cannot be had here: not here"):
        room.choose("namespaces")
    line = str(room.choose())
    assert line.startswith(
        "isolation none: no namespaces (not here) and no bubblewrap (bwrap is not installed)"
    )
    assert "can be written to" in line
    assert "\n" not in line
    monkeypatch.setattr(room, "_why_no_bubblewrap", lambda: None)
    assert str(room.choose()) == "isolation bubblewrap"


def test_without_linux_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert room._tried(["true"], "true") == "this is darwin"
    assert room._tried(["true"], "true") is not None


def test_a_plain_process_finds_its_things_where_they_are(tmp_path: Path) -> None:
    folders = Folders(**dict.fromkeys(("opt", "task", "runtime", "packages", "python"), tmp_path))
    own = Function(target=target("py312"), environment={"PYTHONPATH": "/var/task"})
    found = room.Room(kind="none").variables(own, folders, "127.0.0.1:1")
    assert found["LAMBDA_TASK_ROOT"] == str(tmp_path)
    assert found["PYTHONPATH"] == "/var/task"
    assert room.Room(kind="none").command(own, folders, tmp_path, ["x"]) == ["x"]


def test_no_interpreter_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = parse_arch(platform.machine())
    monkeypatch.setattr(runtimes, "find", lambda *_, **__: None)
    with pytest.raises(UsageError, match=r"no Python 3\.12 on this machine") as caught:
        runtimes.interpreter(target("py312", here), Store(tmp_path))
    assert "uv python install 3.12" in str(caught.value.fix)
    other = "arm64" if here == "x86_64" else "x86_64"
    with pytest.raises(UsageError, match=f"runs nothing for {other}"):
        runtimes.interpreter(target("py312", other), Store(tmp_path))


def ask(api: RuntimeApi, path: str, body: bytes | None = None) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(f"http://{api.address}/2018-06-01/runtime/{path}", data=body)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the loopback
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def test_the_runtime_api_hands_out_events_and_takes_answers() -> None:
    api = RuntimeApi()
    api.send(Event(request="r1", payload=b'{"a": 1}', deadline=1000.5, arn="arn:x"))
    with api.serving():
        status, body, headers = ask(api, "invocation/next")
        assert (status, body) == (200, b'{"a": 1}')
        assert headers["Lambda-Runtime-Aws-Request-Id"] == "r1"
        assert headers["Lambda-Runtime-Deadline-Ms"] == "1000500"
        assert headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn:x"
        assert ask(api, "invocation/r1/response", b"[1]")[0] == 202
        assert ask(api, "init/error", b"{}")[0] == 202
        assert ask(api, "nothing")[0] == 404
        assert ask(api, "nothing", b"")[0] == 404
    said = [api.said.get_nowait() for _ in range(3)]
    assert [(one.how, one.body, one.request) for one in said] == [
        ("ready", b"", ""),
        ("response", b"[1]", "r1"),
        ("init-error", b"{}", ""),
    ]


def test_a_change_of_code_layers_or_events_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, event = tmp_path / "code", tmp_path / "e.json"
    code.mkdir()
    (code / "app.py").write_text("x = 1")
    event.write_text("{}")
    job = Job(function=FUNCTION, layers=(), code=FunctionSpec(name="f", code=code))
    changes = [lambda: (code / "new.py").write_text(""), (code / "app.py").unlink, event.unlink]
    for change in changes:
        before = watch.stamps(job, [event])
        waits: list[float] = []

        def sleep(seconds: float, change: Any = change, waits: list[float] = waits) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                change()

        monkeypatch.setattr("time.sleep", sleep)
        watch.wait(job, [event], before)
        assert len(waits) == 2


def wrong(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = run(["invoke", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_asked_wrongly_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = "py{}{}".format(*sys.version_info)  # the one that is sure to be here
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "p"\nversion = "1"\n[tool.layerkit]\nruntimes = ["{mine}"]\n'
    )
    layer = zipped(tmp_path / "l.zip", {"python/a.py": ""})
    for arguments, code, what in (
        ([str(layer)], 2, "nothing says which runtime"),
        ([str(layer), "--function", "api", "-r", mine], 2, "has its own layers"),
        ([], 3, "nothing was built"),
        (["-r", mine, "--code", "absent"], 3, "there is no absent"),
        (["-r", mine, "--code", ".", "--env", "="], 2, "not the name of a variable"),
    ):
        found, document = wrong(arguments, capsys)
        assert found == document["exit_code"] == code, document
        assert what in document["what"]
