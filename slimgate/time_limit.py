"""A limit on how long a block of code may take: the system's timer ends it, also where it waits.

with time_limit(600.0, "took longer than 600 s"):
    train()
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slimgate.errors import BuildError

OPTION = "--slimgate-time-limit"
# Rings again after so long, should a library have caught the first.
AGAIN_SECONDS = 10.0
_SOON = 1e-3


class _TimeIsUp(BaseException):
    """No Exception: a library that catches those must not go on."""


@contextmanager
def time_limit(seconds: float | None, reason: str) -> Iterator[None]:
    """Raises BuildError with the reason in a block that takes longer. seconds: None sets no limit.

    What is running in C ends first. Only the main thread can be interrupted so: another one has no limit.
    Where a timer of somebody else's (pytest-timeout has one) rings earlier, it is left to it.
    """
    ringing = signal.getitimer(signal.ITIMER_REAL)[0]
    mine = threading.current_thread() is threading.main_thread()
    if seconds is None or not mine or 0 < ringing < seconds:
        yield
        return
    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, _ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(seconds, _SOON), AGAIN_SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TimeIsUp as up:  # whose traceback says what took so long
        raise BuildError(reason) from up
    finally:
        signal.signal(signal.SIGALRM, before)
        if ringing:
            signal.setitimer(signal.ITIMER_REAL, max(ringing - (time.monotonic() - began), _SOON))


def _ring(_number: int, _frame: object) -> None:
    raise _TimeIsUp
