"""What the CPU gives: products of matrices and copies of memory, measured in a process of its own.

A ratio of two models belongs to the machine that it was measured on. These rates say what that machine could
do, so that a runtime which stays far below them is noticed.
"""

from __future__ import annotations

import time
from typing import Any

from slimgate._system.forkserver import forkserver
from slimgate._system.worker import describe_end
from slimgate.record import PeakRates
from slimgate.run.gate_results import now
from slimgate.run.measure.peak_rates_worker import serve

# Of each of the eight figures, four with one thread and four with all.
MOST_SECONDS = 0.2
PATIENCE_SECONDS = 60.0


class PeakProbe:
    """Measures once for each number of threads, when it is first asked to."""

    def __init__(self) -> None:
        self._found: dict[int, PeakRates] = {}

    def measure(self, threads: int, *, max_seconds: float) -> PeakRates:
        """The rates with one thread and with `threads`. max_seconds: the suite's, for a workload and model.

        The probe takes twice that, but two seconds at most, and what it takes to start a process.
        """
        if threads not in self._found:
            self._found[threads] = _measure(threads, min(MOST_SECONDS, max_seconds / 5))
        return self._found[threads]

    def found(self, threads: int) -> PeakRates | None:
        """What was measured; None where nothing was."""
        return self._found.get(threads)


def _measure(threads: int, seconds: float) -> PeakRates:
    """seconds: of each figure."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, threads, seconds), daemon=True)
    process.start()
    theirs.close()
    start, answer = time.perf_counter(), dict[str, Any]()
    why = f"the process gave no answer for {PATIENCE_SECONDS:.0f} s"
    try:
        if ours.poll(PATIENCE_SECONDS):
            answer = ours.recv()
    except (EOFError, ConnectionResetError):
        process.join(timeout=5)
        why = f"the process: {describe_end(process.exitcode)}"
    finally:
        ours.close()
        process.kill()
        process.join()
    nothing = {"notes": [f"nothing was measured: {why}"], "seconds": time.perf_counter() - start}
    return PeakRates(**(answer or nothing), measured=now())
