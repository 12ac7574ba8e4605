"""The first moments of the process, and interrupts that come at odd ones."""

from __future__ import annotations

import subprocess
import sys

from layerkit import __version__

_START = "from layerkit.__main__ import main; main()"
_LOADING = f"""
import sys
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
{_START}
"""
_CLEARING = f"""
import time
from layerkit import cli
class Cleared:
    def __del__(self):
        raise {{error}}
def work(**_):
    Cleared()
    time.sleep(0.1)
    print("went on")
cli.cli.main = work
{_START}
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_package_can_be_run() -> None:
    assert _run("-m", "layerkit", "--version").stdout == f"layerkit {__version__}\n"


def test_an_interrupt_while_it_loads_is_one_line() -> None:
    done = _run("-c", _LOADING)
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing half-written is left\n")


def test_an_interrupt_that_python_would_drop_is_heard() -> None:
    done = _run("-c", _CLEARING.format(error="KeyboardInterrupt"))
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing half-written is left\n"


def test_other_errors_that_nobody_can_catch_are_shown_as_ever() -> None:
    done = _run("-c", _CLEARING.format(error="ValueError('odd')"))
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert "ValueError: odd" in done.stderr
