"""Signals: a valid stack for their handlers, and a limit on the time of a block of code.

    with time_limit(600.0, "took longer than 600 s"):
        train()

CPython runs handlers on the alternate stack, if a thread has one. Each openvino.Core that compiles for the
CPU sets an alternate stack. When the Core is freed, it restores the previous stack, even if that belongs to
another Core that is freed already. The handler of the next signal, such as Ctrl-C or the alarm of a time
limit, would then run on freed memory, and end the process with SIGSEGV. nncf makes and frees such Cores while
it quantizes with accuracy control. So slimgate restores the stack afterwards, and meanwhile its own handlers
run on the thread's own stack.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from slimgate.errors import BuildError

_ON_STACK = 0x08000000  # SA_ONSTACK of Linux
OPTION = "--slimgate-time-limit"
# Rings again after this time, in case a library has caught the first exception.
AGAIN_SECONDS = 10.0
_SOON = 1e-3
# How long a bell waits that rang at the wrong moment: longer than the few lines that have to end first.
_WAIT_SECONDS = 0.02
_Around = contextlib._GeneratorContextManager
# Functions that run around the block, in addition to those of this file.
_AROUND = (_Around.__enter__.__code__, _Around.__exit__.__code__)


class _Action(ctypes.Structure):
    """struct sigaction of Linux's C libraries; the mask has room for 1024 signals."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong)))),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Stack(ctypes.Structure):
    """stack_t of Linux's C libraries."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def keep_signal_stack() -> Iterator[None]:
    """When the block ends, restores the alternate stack that the thread had before, on Linux."""
    if sys.platform != "linux":
        yield
        return
    libc, stack = ctypes.CDLL(None, use_errno=True), _Stack()
    was_read = libc.sigaltstack(None, ctypes.byref(stack)) == 0
    try:
        yield
    finally:
        if was_read:
            libc.sigaltstack(ctypes.byref(stack), None)


def handle_on_own_stack(*signals: int) -> None:
    """Makes the current handlers of these signals run on the thread's own stack, on Linux.

    Call it again after each signal.signal(), which selects the alternate stack again.
    """
    if sys.platform != "linux":
        return
    libc, action = ctypes.CDLL(None, use_errno=True), _Action()
    for number in signals:
        if libc.sigaction(number, None, ctypes.byref(action)) == 0 and action.flags & _ON_STACK:
            action.flags &= ~_ON_STACK
            libc.sigaction(number, ctypes.byref(action), None)


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
