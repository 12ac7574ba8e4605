from __future__ import annotations

import os
import subprocess
import sys

import pytest

from layerkit.container import owner


def replaced(mark: str, place: int, text: str) -> str:
    parts = mark.split(".")
    parts[place] = text
    return ".".join(parts)


def test_a_process_that_runs_is_not_gone() -> None:
    assert not owner.is_gone(owner.mark())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        mark = replaced(replaced(owner.mark(), 2, str(other.pid)), 3, owner._start(other.pid) or "0")
        assert not owner.is_gone(mark)
        other.communicate(b"\n")
    assert owner.is_gone(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process started")
def test_a_number_that_was_used_again_is_another_process() -> None:
    assert owner.is_gone(replaced(owner.mark(), 3, "1"))
    assert not owner.is_gone(replaced(owner.mark(), 3, "0")), "nobody could say when it started"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process does")
def test_a_process_that_was_killed_and_that_nobody_waited_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        mark = replaced(replaced(owner.mark(), 2, str(other.pid)), 3, owner._start(other.pid) or "0")
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        os.kill(other.pid, 0)  # its number is still taken
        assert owner.is_gone(mark)


def test_what_ran_before_the_machine_was_started_again_is_gone() -> None:
    assert owner.is_gone(replaced(owner.mark(), 1, "another"))


@pytest.mark.parametrize("process", ["1", str(2**22 + 1), str(2**70)])
def test_nobody_judges_the_processes_of_another_host(process: str) -> None:
    mark = replaced(replaced(owner.mark(), 0, "elsewhere"), 2, process)
    assert not owner.is_gone(mark)


@pytest.mark.parametrize("text", ["", "a", "a.b.c.d", "1.2.3", "1.2.3.4.5"])
def test_what_is_no_mark_is_nobodys(text: str) -> None:
    assert not owner.is_gone(text)


def test_a_number_that_no_process_can_have_is_kept_rather_than_removed() -> None:
    assert not owner.is_gone(replaced(owner.mark(), 2, str(2**70)))
