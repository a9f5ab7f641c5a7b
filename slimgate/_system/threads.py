"""How many threads a model gets where the suite says nothing."""

from __future__ import annotations

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """Physical cores, and not more than the process's affinity and its container's quota allow."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, min(physical, allowed, quota(CPU_MAX)))


def quota(cpu_max: Path) -> int:
    """CPUs that a container may use by its cgroup (v2), rounded down; very many where there is no limit."""
    try:
        limit, period = cpu_max.read_text("utf-8").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return 1 << 20
