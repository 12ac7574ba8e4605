"""How far the downloads are, as a terminal sees it and as a pipe does."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

_HIDDEN, _SHOWN = "\x1b[?25l", "\x1b[?25h"


def _on_a_terminal(command: list[str], **environment: str) -> tuple[int, str, str]:
    """Run a program whose stderr is a terminal; return its exit code, its stdout and what was drawn."""
    ours, theirs = pty.openpty()
    drawn: list[bytes] = []

    def read() -> None:
        try:
            while block := os.read(ours, 1 << 16):
                drawn.append(block)
        except OSError:  # how a terminal says that the other end is closed
            pass

    keep = {key: value for key, value in os.environ.items() if not key.startswith(("NO_COLOR", "FORCE_"))}
    reader = threading.Thread(target=read)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**keep, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
        text=True,
    )
    os.close(theirs)
    reader.start()
    out, _ = process.communicate(timeout=30)
    reader.join(timeout=10)
    os.close(ours)
    return process.returncode, out, b"".join(drawn).decode()


def _script(body: str) -> list[str]:
    head = "from layerkit.progress import progress\n"
    return [sys.executable, "-c", head + textwrap.dedent(body)]


def _plain(drawn: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)


def test_a_terminal_gets_a_bar_that_moves_and_goes_away() -> None:
    code, _, drawn = _on_a_terminal(
        _script("""
        shown = progress(quiet=False)
        shown.start(2_000_000, 3)
        shown.advance(500_000)
        shown._bar.refresh()
        shown.advance(1_500_000)
        shown.advance(-2_000_000)
        shown.advance(1_000_000)
        shown.done()
        """)
    )
    assert code == 0
    said = _plain(drawn)
    assert "downloading 3 wheels" in said
    assert "━" in said
    assert "0.5/2.0 MB" in said
    assert "1.0/2.0 MB" in said
    # Whatever was drawn is erased, and the cursor is back.
    assert _HIDDEN in drawn
    assert drawn.rindex(_SHOWN) > drawn.rindex(_HIDDEN)
    assert "downloading" not in drawn[drawn.rindex(_SHOWN) :]
    assert drawn.rstrip("\r\n").endswith("\x1b[2K"), repr(drawn[-60:])


def test_a_bar_whose_end_nobody_knows_and_one_wheel() -> None:
    code, _, drawn = _on_a_terminal(
        _script("""
        shown = progress(quiet=False)
        shown.start(None, 1)
        shown.advance(500_000)
        shown.done()
        """)
    )
    assert code == 0
    assert "downloading 1 wheel " in _plain(drawn)
    assert "500.0/? kB" in _plain(drawn)


def test_quiet_draws_nothing_on_a_terminal_and_what_never_began_ends_without_a_word() -> None:
    code, _, drawn = _on_a_terminal(
        _script("""
        shown = progress(quiet=True)
        shown.start(2_000_000, 3)
        shown.advance(1)
        shown.done()
        shown = progress(quiet=False)
        shown.advance(1)
        shown.done()
        """)
    )
    assert (code, drawn) == (0, "")


@pytest.mark.parametrize(
    ("total", "count", "line"),
    [
        (2_500_000, 3, "downloading 3 wheels, 2.5 MB\n"),
        (999, 1, "downloading 1 wheel, 999 B\n"),
        (None, 2, "downloading 2 wheels\n"),
    ],
)
def test_a_pipe_gets_one_line(capsys: Capture, total: int | None, count: int, line: str) -> None:
    shown = progress(quiet=False)
    shown.start(total, count)
    for _ in range(100):
        shown.advance(10_000)
    shown.done()
    assert tuple(capsys.readouterr()) == ("", line)


def test_quiet_is_quiet_in_a_pipe(capsys: Capture) -> None:
    shown = progress(quiet=True)
    shown.start(1, 1)
    shown.advance(1)
    shown.done()
    assert tuple(capsys.readouterr()) == ("", "")


def test_a_pipe_loads_nothing_that_draws() -> None:
    body = """
    import sys
    shown = progress(quiet=False)
    shown.start(1, 1)
    shown.done()
    print("rich" in sys.modules)
    """
    done = subprocess.run(_script(body), capture_output=True, check=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "downloading 1 wheel, 1 B\n")


@pytest.fixture
def project(index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    make_wheel(wheels, "lib")
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    assert index.names()
    (tmp_path / "requirements.txt").write_text("lib\n")
    return tmp_path / "requirements.txt"


def _build(project: Path) -> list[str]:
    command = "from layerkit.cli import main; main()"
    options = ["--runtime", "py312", "--sdk-version", "1.42.0"]
    return [sys.executable, "-c", command, "build", str(project), *options]


def test_a_build_on_a_terminal_draws_while_it_downloads_and_keeps_its_output_clean(project: Path) -> None:
    code, out, drawn = _on_a_terminal(_build(project))
    assert code == 0
    assert "downloading 3 wheels" in _plain(drawn)
    assert out.count("\n") == 1
    assert out.endswith("-default.zip\n")
    assert drawn.rindex("layer default") > drawn.rindex("downloading")
    assert _on_a_terminal(_build(project))[2].count("downloading") == 0, "nothing is downloaded twice"


def test_a_build_in_a_pipe_says_it_once(project: Path) -> None:
    done = subprocess.run(_build(project), capture_output=True, check=True, text=True)
    assert [line for line in done.stderr.splitlines() if "download" in line] == ["downloading 3 wheels"]
    assert "\x1b" not in done.stderr + done.stdout
