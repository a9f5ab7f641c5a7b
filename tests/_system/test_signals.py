"""slimgate._system.signals, where a thread has an alternate stack that is gone, as a library may leave it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the alternate stack is set as Linux has it")

# An alternate stack in a page that nobody may touch: a handler that is run on it ends the process.
GONE = """
import ctypes, mmap, signal, time
from slimgate.errors import BuildError
from slimgate._system.signals import handle_on_own_stack
from slimgate._system.signals import time_limit

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
size = 1 << 16
page = libc.mmap(None, ctypes.c_size_t(size), 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

assert libc.sigaltstack(ctypes.byref(Stack(page, 0, size)), None) == 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
"""
INTERRUPTED = """
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
LIMITED = """
try:
    with time_limit(0.05, "took too long"):
        time.sleep(60)
except BuildError as error:
    print(error)
"""


def ran(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


def test_a_signal_is_handled_though_the_alternate_stack_is_gone() -> None:
    assert ran(GONE + INTERRUPTED)[0] < 0  # so it is without: by SIGSEGV
    assert ran(f"{GONE}handle_on_own_stack(signal.SIGINT)\n{INTERRUPTED}") == (0, "interrupted")


def test_a_time_limit_works_without_the_alternate_stack() -> None:
    assert ran(GONE + LIMITED) == (0, "took too long")


def test_what_a_block_leaves_behind_is_undone() -> None:
    code = "from slimgate._system.signals import keep_signal_stack\nwith keep_signal_stack():\n    pass\n"
    inside = GONE.replace("assert libc", "with keep_signal_stack():\n  assert libc")
    assert ran(f"{code}{inside}{INTERRUPTED}") == (0, "interrupted")


def test_what_a_signal_is_answered_by_stays() -> None:
    code = "import signal\nfrom slimgate._system.signals import handle_on_own_stack\nheard = []\n"
    code += "signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))\n"
    code += "before = signal.getsignal(signal.SIGTERM)\nhandle_on_own_stack(signal.SIGUSR1, signal.SIGTERM)\n"
    code += "signal.raise_signal(signal.SIGUSR1)\nassert signal.getsignal(signal.SIGTERM) is before\n"
    assert ran(code + "signal.raise_signal(signal.SIGUSR1)\nprint(len(heard))") == (0, "2")
