"""The script that imports modules inside images, run here on every Python of this machine."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from layerkit.container import inside
from real import interpreter
from zips import installed_files

SCRIPTS = Path(inside.__file__).parent
PROBE = SCRIPTS / "probe.py"
PYTHONS = [found for minor in range(6, 15) if (found := interpreter(f"3.{minor}")) is not None]

Answers = dict[str, Any]


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    folder = tmp_path / "opt" / "python"
    folder.mkdir(parents=True)
    return folder


def _lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _probe(opt: Path, *modules: str, python: Path | str = sys.executable, **more: Any) -> Answers:
    """Run the probe with a function's folders; return its answers by module, and the others by kind."""
    top = opt.parent.parent
    folders = {"task": top / "task", "site": top / "site", "opt": opt, "runtime": top / "runtime"}
    plan = {
        "folders": {name: str(path) for name, path in folders.items()},
        "modules": modules,
        "pip": None,
        "timeout": 20,
        "memory": 1 << 30,
        **more,
    }
    done = subprocess.run(
        [str(python), str(PROBE), json.dumps(plan)], capture_output=True, text=True, check=True, cwd=top
    )
    found: Answers = {}
    for line in done.stdout.splitlines():
        ((kind, answer),) = json.loads(line).items()
        assert found.setdefault(answer.get("module", kind) if kind == "import" else kind, answer) is answer
    return found


@pytest.mark.parametrize("script", ["probe.py", "unpack.py"])
def test_the_scripts_are_in_the_language_of_the_oldest_runtime(script: str) -> None:
    tree = ast.parse((SCRIPTS / script).read_text(), feature_version=(3, 6))
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.name)
def test_every_python_answers(opt: Path, python: Path) -> None:
    _lay(opt, {"good/__init__.py": "import json\n", "bad.py": "import good\nimport not_there.at_all\n"})
    found = _probe(opt, "good", "bad", python=python)
    assert found["about"]["python"].startswith(f"{python.name.removeprefix('python')}.")
    assert (found["pip"]["ok"], found["pip"]["code"]) == (True, 0)
    assert found["pip"]["version"]
    assert found["good"]["ok"] is True
    assert found["bad"]["ok"] is False
    assert (found["bad"]["missing"], found["bad"]["kind"]) == ("not_there", "ModuleNotFoundError")
    assert found["bad"]["error"] == "ModuleNotFoundError: No module named 'not_there'"
    assert found["end"] == {}


def test_what_an_import_breaks_is_broken_for_no_other(opt: Path) -> None:
    _lay(
        opt,
        {
            "breaker.py": "import sys, os, json\nsys.modules['json'] = None\nos.environ['MARK'] = '1'\n",
            "user.py": "import json, os, sys\nassert json and 'MARK' not in os.environ\n"
            "assert 'breaker' not in sys.modules\n",
        },
    )
    found = _probe(opt, "breaker", "user")
    assert found["breaker"]["ok"]
    assert found["user"]["ok"], found["user"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit(3)\n", {"error": "SystemExit: 3", "kind": "SystemExit"}),
        ("import os\nprint('last words', flush=True)\nos._exit(7)\n", {"exit": 7, "printed": "last words\n"}),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", {"signal": 11}),
        ("import time\ntime.sleep(60)\n", {"signal": 9, "stopped": "time"}),
        (
            "x = bytearray(b'x') * (300 << 20)\nimport time\ntime.sleep(60)\n",
            {"signal": 9, "stopped": "memory"},
        ),
        (
            "raise ValueError('a long story\\n\\n  and its point  \\n')\n",
            {"error": "ValueError: and its point"},
        ),
        ("class E(Exception):\n    pass\nraise E\n", {"kind": "E"}),
        ("x = (\n", {"kind": "SyntaxError"}),
        ("raise OSError('x' * 9999)\n", {"kind": "OSError"}),
        ("raise ValueError('caf\\udce9')\n", {"kind": "ValueError"}),
        (
            "try:\n    import gone\nexcept ImportError as e:\n    raise RuntimeError('install it') from e\n",
            {"missing": "gone", "error": "RuntimeError: install it"},
        ),
        (
            "try:\n    import gone\nexcept ImportError:\n    raise RuntimeError('install it')\n",
            {"missing": "gone"},
        ),
        ("e = ValueError('round')\ne.__cause__ = e\nraise e\n", {"missing": None}),
    ],
)
def test_every_way_of_failing_is_told(opt: Path, text: str, said: dict[str, Any]) -> None:
    _lay(opt, {"bad.py": text, "good.py": ""})
    found = _probe(opt, "bad", "good", timeout=2, memory=200 << 20)
    assert found["bad"]["ok"] is False
    assert {key: found["bad"].get(key) for key in said} == said
    assert len(found["bad"].get("error") or "") <= 2000
    assert found["good"]["ok"] is True


def test_what_an_import_prints_or_starts_does_not_reach_the_answers(opt: Path) -> None:
    noisy = (
        "import os, sys, subprocess, threading, time\n"
        "print('x' * 300_000)\nos.write(1, b'{}')\nos.write(2, b'!')\n"
        "for fd in range(3, 20):\n    try:\n        os.write(fd, b'noise')\n"
        "    except OSError:\n        pass\n"
    )
    lingering = (
        "import os, subprocess, sys, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(opt.parent / 'child')!r}, 'w').write(str(child.pid))\n"
    )
    _lay(opt, {"lingering.py": lingering, "noisy.py": noisy})
    found = _probe(opt, "lingering")
    assert found["lingering"]["ok"] is True
    assert found["lingering"]["seconds"] < 15
    assert not _runs(int((opt.parent / "child").read_text()))
    assert _probe(opt, "noisy")["end"] == {}


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_that_was_killed_beside_others_is_tried_again_alone(opt: Path) -> None:
    mark = opt.parent / "mark"
    text = (
        "import os, signal\n"
        f"if not os.path.exists({str(mark)!r}):\n"
        f"    open({str(mark)!r}, 'w').close()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    _lay(opt, {"once.py": text, "always.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"})
    found = _probe(opt, "once", "always")
    assert found["once"]["ok"] is True
    assert (found["always"]["ok"], found["always"]["signal"]) == (False, 9)


def test_the_path_is_lambdas_and_pth_files_run(opt: Path) -> None:
    top = opt.parent.parent
    seen = top / "seen"
    for folder in ("task", "site", "runtime"):
        (top / folder).mkdir()
    _lay(opt, {"lines.pth": f"{top}/extra\nimport os; open({str(seen)!r}, 'a').write('x')\n"})
    (top / "extra").mkdir()
    _lay(top, {"task/same.py": "WHERE = 'task'\n", "site/same.py": "", "extra/more.py": ""})
    look = f"import sys, same\nopen({str(top / 'path')!r}, 'w').write(repr(sys.path))\n"
    _lay(opt, {"look.py": f"{look}assert same.WHERE == 'task'\n"})
    found = _probe(opt, "look", "more")
    assert (found["look"]["ok"], found["more"]["ok"]) == (True, True)
    path = ast.literal_eval((top / "path").read_text())
    assert path[:3] == [str(top / "task"), str(top / "site"), str(opt)]
    site_packages = next(entry for entry in path if entry.endswith("site-packages"))
    assert path.index(str(top / "runtime")) == path.index(site_packages) + 1
    assert str(SCRIPTS) not in path
    assert seen.read_text() == "x"


def test_in_the_older_runtimes_the_sdk_comes_before_the_standard_library(opt: Path) -> None:
    python = interpreter("3.9")
    if python is None:
        pytest.skip("there is no Python 3.9 here")
    _lay(opt, {"look.py": f"import sys\nopen({str(opt / 'path')!r}, 'w').write(repr(sys.path))\n"})
    assert _probe(opt, "look", python=python)["look"]["ok"]
    path = ast.literal_eval((opt / "path").read_text())
    assert path[3] == str(opt.parent.parent / "runtime")
    assert Path(path[4]).name.startswith("python3")


def test_a_pth_file_that_ends_the_interpreter_is_told(opt: Path) -> None:
    _lay(opt, {"evil.pth": "import sys; sys.exit(5)\n"})
    found = _probe(opt, "json")
    assert found["about"]["error"] == "SystemExit: 5"
    assert "json" not in found
    assert found["end"] == {}


def test_pip_checks_what_is_on_the_path_first(opt: Path) -> None:
    _lay(opt, installed_files("needy 1.0", "absent-thing>=2", "pip>999", below=""))
    found = _probe(opt)
    assert (found["pip"]["ok"], found["pip"]["code"]) == (False, 1)
    lines = found["pip"]["printed"].splitlines()
    assert "needy 1.0 requires absent-thing, which is not installed." in lines
    assert any(line.startswith("needy 1.0 has requirement pip>999, but you have pip ") for line in lines)


def test_the_pip_of_a_wheel_is_used_where_there_is_none(opt: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "pip-1-py3-none-any.whl"
    _lay(
        wheel,
        {
            "pip/__main__.py": "import pip, sys\nprint('hi')\nsys.exit(4)\n",
            "pip/__init__.py": "__version__ = '1'\n",
        },
    )
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    found = _probe(opt, python=bare / "bin" / "python", pip=str(wheel))
    assert {key: found["pip"].get(key) for key in ("ok", "code", "version", "printed")} == {
        "ok": False,
        "code": 4,
        "version": "1",
        "printed": "hi\n",
    }
    assert "No module named pip" in _probe(opt, python=bare / "bin" / "python")["pip"]["printed"]
