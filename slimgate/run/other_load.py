"""The load of other processes on this machine, as a session begins."""

from __future__ import annotations

import math
import os
import time


def measure_other_load() -> float | None:
    """Runnable processes for each core over the last minute, without our own; None if it is not known.

    The load average is an exponential mean over 60 s, in which one process that has run for t seconds
    counts 1 - exp(-t / 60).
    """
    if not hasattr(os, "getloadavg"):
        return None
    import psutil

    age = max(0.0, time.time() - float(psutil.Process().create_time()))
    own_load = 1 - math.exp(-age / 60)
    return max(0.0, os.getloadavg()[0] - own_load) / (os.cpu_count() or 1)
