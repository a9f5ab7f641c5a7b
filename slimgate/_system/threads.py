"""How many threads a model gets where the suite says nothing."""

from __future__ import annotations

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set, else physical cores; no more than affinity and quota allow."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    most = int(wanted) if wanted.isdecimal() else psutil.cpu_count(logical=False) or allowed
    return max(1, min(most, allowed, quota(CPU_MAX)))


def quota(cpu_max: Path) -> int:
    """CPUs that a container may use by its cgroup (v2), rounded down; very many where there is no limit."""
    try:
        limit, period = cpu_max.read_text("utf-8").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return 1 << 20
