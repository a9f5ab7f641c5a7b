"""Runs a child process, and samples its memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from slimgate.run.measure.memory_worker import read_status

_SAMPLED_EVERY = 0.02


@dataclass(frozen=True)
class ChildCost:
    """The output of a child, and its cost.

    peak_bytes: its largest resident memory. The kernel's `ru_maxrss` is no help: it is at least that of the
    parent. anonymous_bytes: the largest part that is no mapped file, whose pages the kernel can take back.
    Both are sampled 50 times a second.
    """

    code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    anonymous_bytes: int


def run_child(command: Sequence[str]) -> ChildCost:
    """Runs a command to its end."""
    start, peak, anonymous = time.perf_counter(), 0, 0
    # a full pipe would stop the child
    with TemporaryFile("w+") as output, subprocess.Popen(command, stdout=output) as process:
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            status = Path(f"/proc/{process.pid}/status")
            peak = max(peak, read_status("VmHWM", status) or 0)
            anonymous = max(anonymous, read_status("RssAnon", status) or 0)
            time.sleep(_SAMPLED_EVERY)
        _, ending, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ending)
        output.seek(0)
        text = output.read()
    seconds = time.perf_counter() - start
    return ChildCost(
        code=process.returncode,
        output=text,
        seconds=seconds,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_bytes=peak,
        anonymous_bytes=anonymous,
    )
