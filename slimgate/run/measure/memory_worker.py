"""A process that loads one artifact, predicts with it, and reports the memory used.

    python -P -m slimgate.run.measure.memory_worker FOLDER

reads FOLDER/request.json {"artifact", "runtime", "params", "device", "threads"} and FOLDER/inputs.npz, one
batch, and writes FOLDER/answer.json: baseline_bytes, load_peak_bytes, resident_after_load_bytes, peak_bytes,
device_peak_bytes, load_seconds. It is a new process, never forked from one that has imported torch, so that a
runtime without torch shows its savings. Imports before the runtime (numpy, pyarrow, pydantic) are the
baseline.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import slimgate.plugins.user_plugins  # noqa: F401  # the loader of runtimes is part of the baseline
from slimgate._system.json_text import convert_to_tuples
from slimgate._system.worker import end_with_parent
from slimgate.plugins.loading import load
from slimgate.run.measure.device_clock import read_device_peak
from slimgate.run.measure.memory import ANSWER, CALLS, INPUTS, REQUEST

STATUS = Path("/proc/self/status")
# Lines of it.
PEAK, RESIDENT = "VmHWM", "VmRSS"


def read_peak_bytes(status: Path = STATUS) -> int:
    """The peak resident memory of this process since it began, in bytes.

    Resident counts all pages of the process that are in memory: its own, and those of mapped files, such as
    libraries and memory-mapped weights. On Linux it is VmHWM, not ru_maxrss: that outlives exec, so a small
    process started by a large one would get its parent's peak. Other systems have only ru_maxrss.
    """
    peak = read_status(PEAK, status)
    if peak is not None:
        return 1024 * peak
    max_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max_rss if sys.platform == "darwin" else 1024 * max_rss


def read_resident_bytes(status: Path = STATUS) -> int | None:
    """The current resident memory of this process, in bytes; None if the system does not report it."""
    resident = read_status(RESIDENT, status)
    return None if resident is None else 1024 * resident


def read_children(name: str) -> int:
    """The sum of a line of /proc/PID/status over all processes that this one has started, in bytes.

    A runtime may compute in another process, such as a server. On systems other than Linux, it is 0.
    """
    parents = {file: read_status("PPid", file) for file in Path("/proc").glob("[0-9]*/status")}
    started, total = {os.getpid()}, 0
    while children := {file for file, parent in parents.items() if parent in started}:
        started = {int(file.parent.name) for file in children}
        total += sum(1024 * (read_status(name, file) or 0) for file in children)
    return total


def read_status(name: str, status: Path) -> int | None:
    """The number in a line of /proc/PID/status, such as kilobytes; None if there is no such file or line."""
    try:
        text = status.read_text("utf-8")
    except OSError:  # no Linux, or a process that has ended
        return None
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines[name].split()[0]) if name in lines else None


def measure_memory(
    *, artifact: str, runtime: str, params: object, device: str, threads: int, inputs: Path
) -> dict[str, Any]:
    """Loads the artifact, predicts the batch CALLS times, and returns the memory used at each stage."""
    baseline = read_resident_bytes() or read_peak_bytes()
    start = time.perf_counter()
    plugin = load("runtime", runtime)
    options = plugin.Params.model_validate(convert_to_tuples(params))
    predictor = plugin.load(Path(artifact), options, device=device, threads=threads)
    load_seconds = time.perf_counter() - start
    resident, load_peak = read_resident_bytes(), read_peak_bytes() + read_children(PEAK)
    if resident is not None:
        resident += read_children(RESIDENT)
    with np.load(inputs, allow_pickle=False) as arrays:
        batch = dict(arrays)
    for _ in range(CALLS):
        predictor.fetch(predictor.forward(predictor.prepare(batch)))
    return {
        "baseline_bytes": baseline,
        "load_peak_bytes": load_peak,
        "resident_after_load_bytes": resident,
        "peak_bytes": read_peak_bytes() + read_children(PEAK),
        # a runtime without torch has no torch tensors
        "device_peak_bytes": read_device_peak(device) if "torch" in sys.modules else None,
        "load_seconds": load_seconds,
    }


def main(folder: Path) -> None:
    """Answers the request in a folder; an error is one line on standard error."""
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    try:
        answer = measure_memory(**request, inputs=folder / INPUTS)
    except Exception as error:  # a runtime, a user's own too, may raise anything
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    (folder / ANSWER).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
