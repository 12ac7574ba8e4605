"""Commands of a wheel run on Lambda, with its interpreter and with the layers on their path."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from layerkit.scripts import Script, is_wrapper, launcher, read, with_interpreter
from layerkit.target import target

PY37 = target("py37")


def test_only_commands_are_read() -> None:
    text = """
        # a comment
        [console_scripts]
        b = pkg.mod:Class.method [extra, other]
        a=pkg:main
        with space = pkg : main
        [plugins]
        x/y = pkg
        [ gui_scripts ]
        c = pkg:gui
    """
    found, problems = read(text.encode(), "entry_points.txt")
    assert problems == []
    assert found == (
        Script(name="a", module="pkg", attr="main"),
        Script(name="b", module="pkg.mod", attr="Class.method"),
        Script(name="c", module="pkg", attr="gui"),
        Script(name="with space", module="pkg", attr="main"),
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"#!python\nx", b"#!/var/lang/bin/python3.7\nx"),
        (b"#!python\r\nx\r\n", b"#!/var/lang/bin/python3.7\nx\r\n"),
        (b"#!pythonw -u\nx", b"#!/var/lang/bin/python3.7\nx"),
        (b"#!python", b"#!/var/lang/bin/python3.7\n"),
        (b"#!/usr/bin/env python\nx", b"#!/usr/bin/env python\nx"),
        (b"#! python\nx", b"#! python\nx"),
        (b"\x7fELF#!python", b"\x7fELF#!python"),
        (b"", b""),
    ],
)
def test_the_placeholder_becomes_the_interpreter_of_the_runtime(given: bytes, expected: bytes) -> None:
    assert with_interpreter(given, PY37) == expected


def test_a_wrapper_is_known_by_its_name() -> None:
    commands = frozenset({"run"})
    assert is_wrapper("run-script.py", commands)
    assert not is_wrapper("runner", commands)
    assert not is_wrapper("run.py", commands)


@pytest.mark.parametrize("folder", ["python", "python/lib/python{minor}/site-packages"])
def test_a_launcher_finds_its_layer_in_a_bare_process(tmp_path: Path, folder: str) -> None:
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    # A first line with #! cannot hold a path with spaces, which this folder may have.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="layerkit-") as folder_without_spaces:
        python = Path(folder_without_spaces, "python")
        python.symlink_to(sys.executable)
        _try_launcher(tmp_path, folder, minor, str(python))


def _try_launcher(tmp_path: Path, folder: str, minor: str, python: str) -> None:
    here = replace(PY37, runtime=f"python{minor}", interpreter=python)
    site = tmp_path / folder.format(minor=minor)
    (site / "pkg").mkdir(parents=True)
    (site / "pkg" / "__init__.py").write_text("")
    (site / "pkg" / "mod.py").write_text(
        "import sys\nclass C:\n    @classmethod\n    def run(cls): print(*sys.argv[1:]); return 3\n"
    )
    command = tmp_path / "bin" / "run"
    command.parent.mkdir()
    command.write_bytes(launcher(Script(name="run", module="pkg.mod", attr="C.run"), here))
    command.chmod(0o755)
    done = subprocess.run([command, "a", "b"], capture_output=True, text=True, check=False, env={}, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (3, "a b\n", "")


def test_a_launcher_is_for_the_runtime() -> None:
    text = launcher(Script(name="run", module="pkg", attr="main"), PY37)
    assert text.startswith(b"#!/var/lang/bin/python3.7\n")
    compile(text, "run", "exec")
