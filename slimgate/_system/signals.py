"""Keeps a valid stack for signal handlers.

CPython runs handlers on the alternate stack, if a thread has one. Each openvino.Core that compiles for the
CPU sets an alternate stack. When the Core is freed, it restores the previous stack, even if that belongs to
another Core that is freed already. The handler of the next signal, such as Ctrl-C or the alarm of a time
limit, would then run on freed memory, and end the process with SIGSEGV. nncf makes and frees such Cores while
it quantizes with accuracy control. So slimgate restores the stack afterwards, and meanwhile its own handlers
run on the thread's own stack.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ON_STACK = 0x08000000  # SA_ONSTACK of Linux


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
