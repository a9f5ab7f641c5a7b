"""A limit on how long a block of code may take: the system's timer ends it, even while it waits.

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
# Rings again after this time, in case a library has caught the first exception.
AGAIN_SECONDS = 10.0
_SOON = 1e-3
# How long a bell waits that rang at the wrong moment: longer than the few lines that have to end first.
_WAIT_SECONDS = 0.02
_Around = contextlib._GeneratorContextManager
# Functions that run around the block, in addition to those of this file.
_AROUND = (_Around.__enter__.__code__, _Around.__exit__.__code__)


class _TimeIsUp(BaseException):
    """Not an Exception, because a library that catches these would continue."""


@contextlib.contextmanager
def time_limit(seconds: float | None, reason: str) -> Iterator[None]:
    """Raises BuildError with the reason in a block that takes longer. seconds: None sets no limit.

    Code that is running in C ends first. Only the main thread can be interrupted: other threads have no
    limit. If another timer (such as pytest-timeout's) rings earlier, it is not replaced.
    """
    # The timer that other code has set: the seconds until it rings (0: none), and its interval.
    other_seconds, interval = signal.getitimer(signal.ITIMER_REAL)
    is_main_thread = threading.current_thread() is threading.main_thread()
    if seconds is None or not is_main_thread or 0 < other_seconds < seconds:
        yield
        return
    began = time.monotonic()
    bell = _Bell()
    before = signal.signal(signal.SIGALRM, bell.ring)
    handle_on_own_stack(signal.SIGALRM)
    bell.set(seconds)
    try:
        yield
    except _TimeIsUp as up:  # its traceback shows what took so long
        raise BuildError(reason) from up
    finally:
        bell.stop()
        signal.signal(signal.SIGALRM, before)
        if other_seconds:
            left = other_seconds - (time.monotonic() - began)
            signal.setitimer(signal.ITIMER_REAL, max(left, _SOON), interval)


class _Bell:
    """Ends the block, and nothing else: while the block is entered or left, it waits until that is done.

    An exception in those lines would leave the timer running for later code.
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
