"""The machine and the versions that a record was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from slimgate.digests import versions
from slimgate.record import Machine

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "evaluate",
    "accelerate",
    "safetensors",
    "scikit-learn",
    "numpy",
    "scipy",
    "pyarrow",
    "pytest",
    "pytest-benchmark",
)


def describe_machine(*, threads: int, device: str) -> Machine:
    """What ran: processor, memory, system, Python and libraries."""
    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        threads=threads,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if hasattr(os, "sysconf")
        else 0,
        device=device,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries=dict(versions(LIBRARIES)),
    )


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
