"""Describes the machine and the versions of a run, with warnings if the machine is unfit for timing."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slimgate._system.digests import read_versions
from slimgate._system.forkserver import start_forkserver
from slimgate._system.processor import describe_gpu, list_cpu_instructions, read_cpu_name
from slimgate._system.threads import CPU_MAX, count_allowed_cores, read_cpu_quota
from slimgate._system.timestamps import format_now
from slimgate._system.worker import describe_end
from slimgate.plugins.loading import load_plugins
from slimgate.record.task import Machine, PeakRates
from slimgate.run.measure.peak_rates_worker import serve

# The longest time for each of the eight figures: four with one thread, and four with all threads.
MOST_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
CPUS = Path("/sys/devices/system/cpu")
# Runnable foreign processes for each core: above this, a timed call often has to share its core.
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
# Packages that read and judge the files of other tools, for which no model is loaded.
_JUDGING_PACKAGES = ("numpy", "pyarrow", "scipy")
# Optional packages that quantize models; listed if installed, like the packages of runtimes.
QUANTIZERS = ("nncf", "torchao")


class PeakProbe:
    """Measures the peak rates of the machine, once for each number of threads."""

    def __init__(self) -> None:
        self._rates: dict[int, PeakRates] = {}

    def measure(self, threads: int, *, max_seconds: float) -> PeakRates:
        """The rates with one thread and with `threads`.

        max_seconds: as in [measure]. It takes at most twice that time and at most two seconds, in addition to
        the start of a process.
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


def describe_machine(
    *, threads: int, device: str, other_load: float | None = None, loads_models: bool = True
) -> Machine:
    """The processor, memory, system, Python and libraries.

    Args:
        threads: the number of threads that models compute with.
        device: the device that they compute on.
        other_load: runnable processes of others for each core, if known, for the warnings.
        loads_models: False lists only the libraries that judge files.
    """
    has_sysconf = hasattr(os, "sysconf")
    return Machine(
        cpu=read_cpu_name(),
        instructions=list_cpu_instructions(),
        cores=os.cpu_count() or 1,
        threads=threads,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if has_sysconf else 0,
        device=device,
        gpu=describe_gpu(device),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries=_list_versions() if loads_models else dict(read_versions(_JUDGING_PACKAGES)),
        warnings=[*_describe_load(other_load), *_describe_threads(threads), *describe_clock_problems(CPUS)],
    )


def _list_versions() -> dict[str, str | None]:
    optional = {
        *QUANTIZERS,
        *(name for runtime in load_plugins("runtime").values() for name in runtime.packages),
    }
    installed = {name: version for name, version in read_versions(optional).items() if version is not None}
    return dict(sorted({**read_versions(LIBRARIES), **installed}.items()))


def describe_machine_change(earlier: Machine, now: Machine) -> str | None:
    """What changed between the machines of two runs, such as `numpy 2.1.3 → 2.4.6`; None if nothing did.

    Warnings and peak rates do not count, because they depend on the load. A package that is not in LIBRARIES
    may come or go: what computes with it has its version in its key.
    """
    fields = set(Machine.model_fields) - {"libraries", "warnings", "peak_rates"}
    changes = [
        f"{name.replace('_', ' ')} {_format_value(before)} → {_format_value(after)}"
        for name in sorted(fields)
        if (before := getattr(earlier, name)) != (after := getattr(now, name))
    ]
    required = {name for libraries in (earlier.libraries, now.libraries) for name in libraries} & {*LIBRARIES}
    compared = required | (earlier.libraries.keys() & now.libraries.keys())
    for name in sorted(compared):
        before, after = earlier.libraries.get(name), now.libraries.get(name)
        if before != after:
            changes.append(f"{name} {before or 'not installed'} → {after or 'not installed'}")
    return ", ".join(changes) or None


def _format_value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _describe_load(load: float | None) -> Iterator[str]:
    if load is not None and load > BUSY:
        yield f"load average {load:.1f} per core when the run began"


def _describe_threads(threads: int) -> Iterator[str]:
    cores = min(count_allowed_cores(), read_cpu_quota(CPU_MAX))
    if threads > cores:
        yield f"{threads} threads share {cores} of the machine's cores (affinity or container quota)"


def describe_clock_problems(cpus: Path) -> Iterator[str]:
    """The reasons why the clock speed may change during timing. cpus: /sys/devices/system/cpu."""
    governors = {
        text
        for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")
        if (text := _read_text(path)) is not None
    }
    if slow_governors := sorted(governors - {"performance"}):
        yield f"the frequency scaling governor is {', '.join(slow_governors)}, not performance"
    if _read_text(cpus / "intel_pstate/no_turbo") == "0" or _read_text(cpus / "cpufreq/boost") == "1":
        yield "turbo is on: the clock follows heat and load"


def _read_text(path: Path) -> str | None:
    """A file's text; None if it does not exist or cannot be read."""
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return None
