"""Has the system call signal handlers on the thread's own stack, which has room for every register.

A library that asks for the processor's matrix registers (OpenVINO and oneDNN do, for AMX) makes what the
system puts down for a handler 8 KiB larger than a stack made for handlers before may hold; the process
would die by SIGSEGV at the next signal: https://docs.kernel.org/arch/x86/xstate.html
"""

from __future__ import annotations

import ctypes
import sys

_SS_DISABLE = 2  # of Linux


class _Stack(ctypes.Structure):
    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def leave_signal_stack() -> None:
    """Of the calling thread, on Linux; elsewhere nothing is changed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None)
