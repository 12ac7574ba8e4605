"""Modules of foreign zips imported on this machine: kept in, and told apart from what fails on Lambda."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lambda_like
from layerkit import importing
from layerkit.check import check_zips
from layerkit.check.inside import StackFiles
from layerkit.container.stage import MIB, Limits
from layerkit.errors import UsageError
from layerkit.importing import Importing, import_here
from layerkit.invoke.room import Room
from layerkit.target import target
from zips import zipped

if TYPE_CHECKING:
    from layerkit.check import Report

HERE = target("python{}.{}".format(*sys.version_info[:2]), "x86_64")
HIDDEN = "LAYERKIT_TEST_HIDDEN"

MODULES = {
    "fine": "import json",
    "lacks": "import nowhere_at_all",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', %d), 2)",
    "writes": "import os\nfor p in ('/opt/x', '/var/task/x', '/usr/x', '/var/lang/x'):\n"
    "    try:\n        open(p, 'w')\n    except OSError:\n        continue\n    raise SystemExit(p)",
    "memory": "x = bytearray(b'1') * (1 << 30)\nimport time\ntime.sleep(5)",
    "looks": f"import os\nassert {HIDDEN!r} not in os.environ\nassert not os.path.exists(%r)",
    "dies": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
}


@pytest.fixture(autouse=True)
def no_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the runtime brings, from the index, and take the interpreter that runs this."""
    if reason := lambda_like.missing():
        lambda_like.without(reason)
    for name in ("runtime", "packages"):
        (tmp_path / name).mkdir()
    own = Path(sys.base_prefix, "bin", "python{}.{}".format(*sys.version_info[:2]))
    monkeypatch.setattr(importing, "interpreter", lambda *_, **__: own)
    monkeypatch.setattr(importing, "install", lambda *_, **__: (tmp_path / "runtime", tmp_path / "packages"))
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))


def imported(stack: StackFiles, said: list[str], memory: int = 256 * MIB) -> Report:
    how = Importing(limits=Limits(memory=memory, timeout=20), may_fail=frozenset(), talk=said.append)
    before = check_zips(stack.layers, HERE, [], function=stack.code)
    ((_, found),) = import_here(how, HERE, [(stack, before)])
    return found


def test_imports_are_kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv(HIDDEN, "hidden")
    with socket.create_server(("127.0.0.1", 0)) as server:
        sources = dict(MODULES, network=MODULES["network"] % server.getsockname()[1])
        sources["looks"] %= str(tmp_path)
        layer = zipped(tmp_path / "a.zip", {f"python/{name}.py": text for name, text in sources.items()})
        code = zipped(tmp_path / "code.zip", {"app.py": "import fine\n"})
        said: list[str] = []
        found = imported(StackFiles(name="s", layers=[layer], code=code), said)
    assert found.inside is not None
    results = {one.name: one.error for one in found.inside.modules if one.name != "boto3"}
    fine = {name for name, error in results.items() if error is None}
    assert fine == {"app", "fine", "writes", "looks"}, results
    assert "nowhere_at_all" in str(results["lacks"])
    assert "unreachable" in str(results["network"]) or "refused" in str(results["network"])
    assert "more than the 268,435,456 bytes of memory" in str(results["memory"])
    assert "SIGSEGV" in str(results["dies"])
    assert found.inside.image == "this machine"
    assert "image-differs" not in {one.code for one in found.findings}
    failed = {one.where.partition(": ")[2] for one in found.findings if one.code == "import-failed"}
    assert failed - {"boto3"} == {"lacks", "network", "memory", "dies"}


def test_zip_that_was_refused_is_not_unpacked(tmp_path: Path) -> None:
    bad = zipped(tmp_path / "bad.zip", {"../escaped.py": "x = 1\n"})
    found = imported(StackFiles(name="s", layers=[bad]), [])
    assert [one.code for one in found.findings] == ["archive"]
    assert found.inside is None


def test_nothing_is_imported_where_nothing_keeps_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "choose", lambda: Room(kind="none", lacks="no unshare, so all is open"))
    layer = zipped(tmp_path / "a.zip", {"python/fine.py": ""})
    with pytest.raises(UsageError, match="nothing here keeps foreign code in: no unshare"):
        imported(StackFiles(name="s", layers=[layer]), [])


def test_another_architecture_is_for_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> Path:
        raise UsageError("this machine runs nothing for it", fix="--engine docker")

    monkeypatch.setattr(importing, "interpreter", none)
    layer = zipped(tmp_path / "a.zip", {"python/fine.py": ""})
    with pytest.raises(UsageError, match="runs nothing for it") as error:
        imported(StackFiles(name="s", layers=[layer]), [])
    assert "--in-image" in str(error.value)
