from __future__ import annotations

import random
import threading

from layerkit.publish.pace import Pace


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_no_second_has_more_requests_than_it_may() -> None:
    clock, begun = Clock(), []
    pace = Pace(15, clock=clock, sleep=clock.sleep)
    chance = random.Random(1)  # noqa: S311 - the same times in every run
    for _ in range(400):
        pace.wait()
        begun.append(clock.now)
        clock.now += chance.choice([0.0, 0.0, 0.0, 0.01, 0.3])
    for number, start in enumerate(begun):
        assert sum(start <= later < start + 1 for later in begun[number:]) <= 15
    assert begun[14] - begun[0] < 1.0 <= begun[15] - begun[0]


def test_one_who_asks_seldom_never_waits() -> None:
    clock = Clock()

    def never(_seconds: float) -> None:
        raise AssertionError

    pace = Pace(2, clock=clock, sleep=never)
    for _ in range(10):
        pace.wait()
        clock.now += 0.5


def test_threads_share_it() -> None:
    clock, begun = Clock(), []
    pace = Pace(5, clock=clock, sleep=clock.sleep)

    def work() -> None:
        for _ in range(10):
            pace.wait()
            begun.append(clock.now)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 40
    assert clock.now >= 100.0 + 7
