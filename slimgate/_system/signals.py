"""The stack on which signals are handled is one that is there.

CPython has handlers run on the alternate stack, where a thread has one. Each openvino.Core that compiles for
the CPU gives the thread one, and puts the one before back as it goes, though the Core that owned that may be
gone too: the next signal, Ctrl-C or the alarm of a time limit, would be handled on freed memory, and end the
process by SIGSEGV. nncf makes and drops such Cores while it quantizes with accuracy control: what they leave
behind is undone, and meanwhile slimgate's own handlers run on the thread's own stack.
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
    """After the block the thread's alternate stack is again what it was before, on Linux."""
    if sys.platform != "linux":
        yield
        return
    libc, stack = ctypes.CDLL(None, use_errno=True), _Stack()
    known = libc.sigaltstack(None, ctypes.byref(stack)) == 0
    try:
        yield
    finally:
        if known:
            libc.sigaltstack(ctypes.byref(stack), None)


def handle_on_own_stack(*signals: int) -> None:
    """Has the handlers that these signals have now run on the thread's own stack, on Linux.

    To be called again after each signal.signal(), which asks for the alternate stack anew.
    """
    if sys.platform != "linux":
        return
    libc, action = ctypes.CDLL(None, use_errno=True), _Action()
    for number in signals:
        if libc.sigaction(number, None, ctypes.byref(action)) == 0 and action.flags & _ON_STACK:
            action.flags &= ~_ON_STACK
            libc.sigaction(number, ctypes.byref(action), None)
