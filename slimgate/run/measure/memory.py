"""Measures the memory that loading an artifact and predicting with it take, in a new process.

Memory is never measured in the process that measures times. A second model there would displace the caches of
the first. And the memory of that process would hide the memory of the model.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgate._system.worker import run_worker
from slimgate.errors import MeasureError
from slimgate.plugins.base import Arrays

REQUEST, INPUTS, ANSWER = "request.json", "inputs.npz", "answer.json"
# The first call allocates memory that later calls reuse; a runtime tunes itself in the first two calls.
CALLS = 3
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class MemoryReading:
    """One reading from a new process, in bytes.

    baseline_bytes: resident before the runtime is imported. resident_after_load_bytes: None if the system
    does not report it. load_peak_bytes: the peak until the model was loaded; peak_bytes: the peak of loading
    and predicting; both include the baseline. device_peak_bytes: the peak of PyTorch's tensors on a CUDA
    device. load_seconds: importing the runtime and loading the artifact.
    """

    baseline_bytes: int
    load_peak_bytes: int
    resident_after_load_bytes: int | None
    peak_bytes: int
    device_peak_bytes: int | None
    load_seconds: float


def read_memory(
    artifact: Path, runtime: str, params: object, inputs: Arrays, *, device: str, threads: int
) -> MemoryReading:
    """Takes one reading. params: the runtime's as JSON values; inputs: the batch to predict.

    It takes as long as importing the runtime, some seconds. Raises MeasureError if the process fails.
    """
    request = {
        "artifact": str(artifact.resolve()),
        "runtime": runtime,
        "params": params,
        "device": device,
        "threads": threads,
    }
    with tempfile.TemporaryDirectory(prefix="slimgate-memory-") as scratch:
        folder = Path(scratch)
        (folder / REQUEST).write_text(json.dumps(request), "utf-8")
        arrays: dict[str, Any] = dict(inputs)
        np.savez(folder / INPUTS, **arrays)
        ended = run_worker("slimgate.run.measure.memory_worker", folder, limit=PATIENCE_SECONDS)
        if ended.code is None:
            raise MeasureError(f"no answer for {PATIENCE_SECONDS:.0f} s while memory was measured")
        if ended.code:
            raise MeasureError(f"the process that measures memory failed: {ended.message}")
        return MemoryReading(**json.loads((folder / ANSWER).read_text("utf-8")))
