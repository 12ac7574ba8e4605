"""How many processors there are: what this process may use, not what the machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from layerkit.cores import cores

_ALONE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from layerkit.cores import cores
print(cores())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors are not granted here")
def test_a_process_that_is_granted_one_processor_counts_one() -> None:
    done = subprocess.run([sys.executable, "-c", _ALONE], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_where_nobody_grants_them_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1
