"""A limit on how long a block of code may take: the system's timer ends it, also where it waits.

with time_limit(600.0, "took longer than 600 s"):
    train()
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from slimgate._system.signals import handle_on_own_stack
from slimgate.errors import BuildError

OPTION = "--slimgate-time-limit"
# Rings again after so long, should a library have caught the first.
AGAIN_SECONDS = 10.0
_SOON = 1e-3
# How long a bell waits that rang at the wrong moment: longer than the few lines of which it waits the end.
_WAIT_SECONDS = 0.02
_Around = contextlib._GeneratorContextManager
# What runs around the block, beside this file's own lines.
_AROUND = (_Around.__enter__.__code__, _Around.__exit__.__code__)


class _TimeIsUp(BaseException):
    """No Exception: a library that catches those must not go on."""


@contextlib.contextmanager
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
    bell = _Bell()
    before = signal.signal(signal.SIGALRM, bell.ring)
    handle_on_own_stack(signal.SIGALRM)
    bell.set(seconds)
    try:
        yield
    except _TimeIsUp as up:  # whose traceback says what took so long
        raise BuildError(reason) from up
    finally:
        bell.stop()
        signal.signal(signal.SIGALRM, before)
        if ringing:
            signal.setitimer(signal.ITIMER_REAL, max(ringing - (time.monotonic() - began), _SOON))


class _Bell:
    """Ends the block, and nothing else: while the block is being entered or left, it waits for its end.

    An exception in those lines would leave the timer running for whoever comes next.
    """

    def __init__(self) -> None:
        self._set = False

    def set(self, seconds: float) -> None:
        self._set = True
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _SOON), AGAIN_SECONDS)

    def stop(self) -> None:
        self._set = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def ring(self, _number: int, frame: FrameType | None) -> None:
        if not self._set:
            return
        if frame is not None and (frame.f_code.co_filename == __file__ or frame.f_code in _AROUND):
            self.set(_WAIT_SECONDS)
            return
        raise _TimeIsUp
