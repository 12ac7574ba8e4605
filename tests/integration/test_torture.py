"""Every trial of tests/torture.py, with few builds each: `make torture` runs hundreds."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

import torture

if TYPE_CHECKING:
    from collections.abc import Callable

    from arena import Arena

pytestmark = pytest.mark.integration

_SCALE = 0.05
_MOUNT = (torture.starved, torture.apart, torture.closed)


@pytest.mark.parametrize("trial", torture.TRIALS, ids=lambda trial: trial.__name__)
def test_nothing_is_lost_and_nothing_half_written(
    trial: Callable[[Arena, int, random.Random], torture.Outcome],
) -> None:
    if trial in _MOUNT and os.geteuid():
        pytest.skip("mounting a file system needs root")
    outcome = torture.tried(trial, _SCALE, seed=random.SystemRandom().randrange(1 << 32))
    assert outcome.builds
    assert outcome.wrong == ()
