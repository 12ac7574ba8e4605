from __future__ import annotations

import threading
import time

import pytest

from layerkit.errors import AwsError
from layerkit.publish.calls import StoppedError
from layerkit.publish.crew import at_once


def test_every_item_has_its_turn_and_a_few_at_a_time() -> None:
    done, now, most = [], 0, 0
    lock = threading.Lock()

    def step(item: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
            done.append(item)

    assert at_once(range(12), step, threading.Event()) == []
    assert sorted(done) == list(range(12))
    assert 2 <= most <= 4


def test_errors_are_gathered_and_the_others_go_on() -> None:
    def step(item: int) -> None:
        if item % 2:
            raise AwsError(f"{item}")

    assert sorted(error.what for error in at_once(range(5), step, threading.Event())) == ["1", "3"]


def test_a_fault_of_ours_is_not_swallowed() -> None:
    def step(_item: int) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        at_once([1], step, threading.Event())


def test_a_run_that_was_given_up_takes_no_more_steps() -> None:
    stop, taken = threading.Event(), []

    def step(item: int) -> None:
        taken.append(item)
        stop.set()
        raise StoppedError

    assert at_once(range(100), step, stop) == []
    assert len(taken) <= 4


def test_nothing_to_do_is_done() -> None:
    stop = threading.Event()
    stop.set()
    assert at_once([1], lambda _item: None, stop) == []
    assert at_once([], lambda _item: None, threading.Event()) == []
