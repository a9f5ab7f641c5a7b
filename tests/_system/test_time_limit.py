"""A block that takes too long ends as a BuildError, at whatever line the time is up."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from slimgate._system.signals import time_limit
from slimgate.errors import BuildError


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.fixture(autouse=True)
def _no_other_timer() -> Iterator[None]:
    """Stops the timer of pytest-timeout, which must not fire during these tests."""
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *left)


def has_timer() -> bool:
    """Whether a limit left its timer or its signal handler behind."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0 or signal.getsignal(signal.SIGALRM) != signal.SIG_DFL


def test_a_block_that_waits_too_long_ends_with_the_reason() -> None:
    began = time.perf_counter()
    with pytest.raises(BuildError, match="slept too long"), time_limit(0.05, "slept too long"):
        time.sleep(60)
    assert time.perf_counter() - began < 30
    assert not has_timer()


def test_the_time_is_up_in_the_block_or_not_at_all() -> None:
    moments, ended = random.Random(0), Counter[str]()
    for _ in range(1_500):
        try:
            with time_limit(0.001, "late"):
                spin(moments.uniform(0.0009, 0.0011))  # the timer fires at about the end of the block
        except BuildError:
            ended["late"] += 1
        else:
            ended["in time"] += 1
        assert not has_timer()
    assert min(ended["late"], ended["in time"]) > 0


def test_a_limit_that_ends_at_the_start_ends_the_block() -> None:
    for _ in range(200):
        with pytest.raises(BuildError, match="late"), time_limit(0.0, "late"):
            spin(5)
        assert not has_timer()


def test_a_timer_of_other_code_still_fires() -> None:
    fired: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(BuildError, match="late"), time_limit(0.05, "late"):
            time.sleep(60)
        with time_limit(60, "late"):  # fires after the other timer, which keeps its time
            spin(0.5)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert fired == [1]


def test_an_outer_limit_fires_again_after_an_inner_one() -> None:
    with time_limit(100, "outer"):
        repeated = signal.getitimer(signal.ITIMER_REAL)[1]
        with time_limit(5, "inner"):
            pass
        assert signal.getitimer(signal.ITIMER_REAL)[1] == repeated > 0
    assert not has_timer()


def test_a_wait_in_a_context_manager_of_the_block_is_ended() -> None:
    began = time.perf_counter()
    with pytest.raises(BuildError, match="late"), time_limit(0.05, "late"), contextlib.ExitStack() as stack:
        stack.callback(time.sleep, 60)
    assert time.perf_counter() - began < 30
    assert not has_timer()


def test_another_thread_has_no_limit() -> None:
    done: list[bool] = []

    def work() -> None:
        with time_limit(0.001, "late"):
            spin(0.05)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
