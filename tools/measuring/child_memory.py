"""Runs a child process, and samples how much memory it holds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLED_EVERY = 0.02


@dataclass(frozen=True)
class ChildCost:
    """What a child printed, and what it took.

    peak_bytes: its largest resident memory. The kernel's `ru_maxrss` would not do: it is at least that of the
    parent. anonymous_bytes: the largest part of it that is no mapped file, whose pages the kernel can take
    back. Both are sampled 50 times a second.
    """

    code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    anonymous_bytes: int


def run_child(command: Sequence[str]) -> ChildCost:
    """Runs a command whose output fits into a pipe."""
    start, peak, anonymous = time.perf_counter(), 0, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, _read_bytes(process.pid, "VmHWM:"))
            anonymous = max(anonymous, _read_bytes(process.pid, "RssAnon:"))
            time.sleep(_SAMPLED_EVERY)
        output = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    return ChildCost(process.returncode, output, seconds, used.ru_utime + used.ru_stime, peak, anonymous)


def _read_bytes(process: int, name: str) -> int:
    """A line of /proc/PID/status, in bytes; 0 if the process has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(line[1]) * 1024 for line in lines if line[0] == name), 0)
