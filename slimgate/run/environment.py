"""The machine and the versions that a record was made with, and what makes the machine unfit for timing."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from slimgate._system.digests import versions
from slimgate._system.processor import cpu_instructions, cpu_name
from slimgate._system.threads import CPU_MAX, quota
from slimgate.loading import plugins
from slimgate.record import Machine

CPUS = Path("/sys/devices/system/cpu")
# Runnable processes of others for each core: above it a timed call often has to share its core.
BUSY = 0.5

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
# What extras bring and quantizes models: told where it is installed, as the packages of runtimes are.
QUANTIZERS = ("nncf", "torchao")


def describe_machine(*, threads: int, device: str, load: float | None = None) -> Machine:
    """What ran: processor, memory, system, Python and libraries.

    load: of other processes for each core, where it is known, for the warnings.
    """
    return Machine(
        cpu=cpu_name(),
        instructions=cpu_instructions(),
        cores=os.cpu_count() or 1,
        threads=threads,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if hasattr(os, "sysconf")
        else 0,
        device=device,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries=_libraries(),
        warnings=[*_load_warning(load), *_threads_warning(threads), *clock_warnings(CPUS)],
    )


def _libraries() -> dict[str, str | None]:
    optional = {*QUANTIZERS, *(name for one in plugins("runtime").values() for name in one.packages)}
    installed = {name: version for name, version in versions(optional).items() if version is not None}
    return dict(sorted({**versions(LIBRARIES), **installed}.items()))


def same_machine(one: Machine, other: Machine) -> bool:
    """Whether two records are of one machine; how busy it was, and what that left, does not matter."""
    return one.model_copy(update={"warnings": other.warnings, "peak_rates": other.peak_rates}) == other


def load_of_others() -> float | None:
    """Runnable processes for each core over the last minute, less our own; None where nothing tells.

    The load average is an exponential mean over 60 s, in which one process that has run for t seconds
    counts 1 - exp(-t / 60).
    """
    if not hasattr(os, "getloadavg"):
        return None
    import psutil

    age = max(0.0, time.time() - float(psutil.Process().create_time()))
    own = 1 - math.exp(-age / 60)
    return max(0.0, os.getloadavg()[0] - own) / (os.cpu_count() or 1)


def _load_warning(load: float | None) -> Iterator[str]:
    if load is not None and load > BUSY:
        yield f"other processes kept {load:.1f} of each core busy when the run began (load average)"


def _threads_warning(threads: int) -> Iterator[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(cores, quota(CPU_MAX))
    if threads > cores:
        yield f"{threads} threads share {cores} of the machine's cores (affinity or container quota)"


def clock_warnings(cpus: Path) -> Iterator[str]:
    """What lets the clock speed change while times are taken. cpus: /sys/devices/system/cpu."""
    governors = {
        text for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor") if (text := _text(path)) is not None
    }
    if others := sorted(governors - {"performance"}):
        yield f"the frequency scaling governor is {', '.join(others)}, not performance"
    if _text(cpus / "intel_pstate/no_turbo") == "0" or _text(cpus / "cpufreq/boost") == "1":
        yield "turbo is on: the clock follows heat and load"


def _text(path: Path) -> str | None:
    """A file's text; None where there is no such file, or the system keeps it to itself."""
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return None
