"""Measures the CPU's peak rates, matrix products and memory copies, in a process of its own.

A speed-up belongs to the machine that it was measured on. The rates show what the machine can do, so a
runtime far below them is noticed.
"""

from __future__ import annotations

import time
from typing import Any

from slimgate._system.forkserver import start_forkserver
from slimgate._system.timestamps import format_now
from slimgate._system.worker import describe_end
from slimgate.record.task import PeakRates
from slimgate.run.measure.peak_rates_worker import serve

# For each of the eight figures, four with one thread and four with all threads.
MOST_SECONDS = 0.2
PATIENCE_SECONDS = 60.0


class PeakProbe:
    """Measures once for each number of threads, on first use."""

    def __init__(self) -> None:
        self._rates: dict[int, PeakRates] = {}

    def measure(self, threads: int, *, max_seconds: float) -> PeakRates:
        """The rates with one thread and with `threads`. max_seconds: the suite's, for a workload and model.

        Takes twice as long, but two seconds at most, plus the start of a process.
        """
        if threads not in self._rates:
            self._rates[threads] = _measure_rates(threads, min(MOST_SECONDS, max_seconds / 5))
        return self._rates[threads]

    def find(self, threads: int) -> PeakRates | None:
        """The rates if they were measured already; else None."""
        return self._rates.get(threads)


def _measure_rates(threads: int, seconds: float) -> PeakRates:
    """Measures in a new process. seconds: for each figure."""
    context = start_forkserver()
    pipe, worker_pipe = context.Pipe()
    process = context.Process(target=serve, args=(worker_pipe, threads, seconds), daemon=True)
    process.start()
    worker_pipe.close()
    start, answer = time.perf_counter(), dict[str, Any]()
    why = f"the process gave no answer for {PATIENCE_SECONDS:.0f} s"
    try:
        if pipe.poll(PATIENCE_SECONDS):
            answer = pipe.recv()
    except (EOFError, ConnectionResetError):
        process.join(timeout=5)
        why = f"the process: {describe_end(process.exitcode)}"
    finally:
        pipe.close()
        process.kill()
        process.join()
    nothing = {"notes": [f"nothing was measured: {why}"], "seconds": time.perf_counter() - start}
    return PeakRates(**(answer or nothing), measured=format_now())
