"""A process of its own that loads one artifact, predicts with it, and says what memory that took.

    python -P -m slimgate.run.measure.memory_worker FOLDER

reads FOLDER/request.json {"artifact", "runtime", "params", "device", "threads"} and FOLDER/inputs.npz, one
batch, and writes FOLDER/answer.json: baseline_bytes, load_peak_bytes, resident_after_load_bytes, peak_bytes,
device_peak_bytes, load_seconds. It is started afresh, never forked from a process that has torch: a runtime
that needs no torch shows it. What it imports before the runtime (numpy, pyarrow, pydantic) is the baseline.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from slimgate._system.tuples import with_tuples
from slimgate._system.worker import end_with_parent
from slimgate.loading import load
from slimgate.run.measure.device_clock import device_peak_bytes
from slimgate.run.measure.memory import ANSWER, CALLS, INPUTS, REQUEST

STATUS = Path("/proc/self/status")


def peak_bytes(status: Path = STATUS) -> int:
    """The most that was resident of this process since it began, in bytes.

    Resident counts all pages of the process that are in memory: its own, and those of files that it has
    mapped, such as libraries and memory-mapped weights. Linux: VmHWM. Not ru_maxrss, which there outlives
    exec: a small process that a large one started would be told its parent's. Elsewhere there is no other.
    """
    found = _of_status("VmHWM", status)
    if found is not None:
        return found
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def resident_bytes(status: Path = STATUS) -> int | None:
    """What is resident of this process now, in bytes; None where the system does not tell."""
    return _of_status("VmRSS", status)


def _of_status(name: str, status: Path) -> int | None:
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
    return 1024 * int(lines[name].split()[0]) if name in lines else None


def weigh(
    *, artifact: str, runtime: str, params: Any, device: str, threads: int, inputs: Path
) -> dict[str, Any]:
    """Loads the artifact, predicts the batch CALLS times, and tells what stood in memory on the way."""
    baseline = resident_bytes() or peak_bytes()
    start = time.perf_counter()
    plugin = load("runtime", runtime)
    options = plugin.Params.model_validate(with_tuples(params))
    predictor = plugin.load(Path(artifact), options, device=device, threads=threads)
    load_seconds = time.perf_counter() - start
    resident, load_peak = resident_bytes(), peak_bytes()
    with np.load(inputs, allow_pickle=False) as arrays:
        batch = dict(arrays)
    for _ in range(CALLS):
        predictor.fetch(predictor.forward(predictor.prepare(batch)))
    return {
        "baseline_bytes": baseline,
        "load_peak_bytes": load_peak,
        "resident_after_load_bytes": resident,
        "peak_bytes": peak_bytes(),
        # a runtime without torch holds no tensors of its
        "device_peak_bytes": device_peak_bytes(device) if "torch" in sys.modules else None,
        "load_seconds": load_seconds,
    }


def main(folder: Path) -> None:
    """Answers the request of a folder; what fails is one line of standard error."""
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    try:
        answer = weigh(**request, inputs=folder / INPUTS)
    except Exception as error:  # a runtime, a user's own too, may raise anything
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    (folder / ANSWER).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
