"""The number of threads of a model if the suite states none, and how threads wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
# Environment variables of Hugging Face's tokenizers: whether threads share a batch, read at every call, and
# the number of threads, read when they first share one.
TOKENIZERS_PARALLELISM, RAYON_NUM_THREADS = "TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"
# How OpenMP's threads wait, and how often those of libgomp look for work before they sleep. PyTorch's wheels
# for Linux contain libgomp.
OMP_WAIT_POLICY, GOMP_SPINCOUNT = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
SHORT_SPIN = "1000"


def limit_spinning() -> None:
    """Lets the waiting threads of PyTorch sleep soon, unless the environment says how they wait.

    By default, a thread that waits for another one occupies its core for milliseconds. If another process
    needs that core, each waits for the other: on 2 cores, a call of 25 ms took 527 ms next to a process like
    itself, and 49 ms with this setting (alone 25.8 ms).

    Call it before torch is imported, because libgomp reads the variable once. Child processes inherit it,
    except those that start inside of `default_spinning`.
    """
    if OMP_WAIT_POLICY not in os.environ:
        os.environ.setdefault(GOMP_SPINCOUNT, SHORT_SPIN)


@contextmanager
def default_spinning() -> Iterator[None]:
    """Inside, processes start without the setting of `limit_spinning`. A user's own setting stays.

    For processes that time models: their threads wait as the libraries have it by default. With short spins,
    a busy machine slowed ONNX Runtime, whose threads spin too, more than PyTorch.
    """
    if os.environ.get(GOMP_SPINCOUNT) != SHORT_SPIN:
        yield
        return
    del os.environ[GOMP_SPINCOUNT]
    try:
        yield
    finally:
        os.environ.setdefault(GOMP_SPINCOUNT, SHORT_SPIN)


def choose_thread_count() -> int:
    """OMP_NUM_THREADS if it is set, else physical cores; at most what affinity and quota allow."""
    allowed = count_allowed_cores()
    setting = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    threads = int(setting) if setting.isdecimal() else _count_cores() or allowed
    return max(1, min(threads, allowed, read_cpu_quota(CPU_MAX)))


def count_allowed_cores() -> int:
    """The cores on which this process may run, whatever the quota of its container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count_cores() -> int | None:
    import psutil

    cores: int | None = psutil.cpu_count(logical=False)
    return cores


def read_cpu_quota(cpu_max: Path) -> int:
    """CPUs that a container may use by its cgroup (v2), rounded down; a very large number without a limit."""
    try:
        limit, period = cpu_max.read_text("utf-8").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return 1 << 20


def make_tokenizer_settings(threads: int, rows: int) -> dict[str, str]:
    """Environment variables that let a tokenizer share a batch of several rows among threads."""
    is_shared = threads > 1 and rows > 1
    return {TOKENIZERS_PARALLELISM: "true" if is_shared else "false", RAYON_NUM_THREADS: str(threads)}


@contextmanager
def tokenizer_threads(threads: int, rows: int) -> Iterator[None]:
    """Sets the variables of `make_tokenizer_settings` inside of the block, and restores them afterwards."""
    settings = make_tokenizer_settings(threads, rows)
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
