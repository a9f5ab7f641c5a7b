"""Compiles a network ahead of time where it can do no harm: in a process of its own, which may hang or die.

    made = compile_apart(model, batches, context, precision="float32")

The package is opened and run there first: code that this processor does not know ends that process, not the
one that builds. The model crosses over as its own files (safetensors and JSON), batches and scores as arrays.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgate._system.worker import Ended, run_worker
from slimgate.errors import BuildError, ProcessDied
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.steps.agreement import Scores
from slimgate.steps.convert import _aoti_worker

LIMIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Compiled:
    """A package that has predicted. inputs: their names, in the network's order; scores: of each batch.

    weights: parameters, nonzero_parameters and state_bytes of the network that was compiled.
    """

    package: Path
    inputs: tuple[str, ...]
    weights: dict[str, int]
    scores: list[Scores]
    compile_seconds: float


def compile_apart(
    model: Any,
    batches: list[Arrays],
    context: BuildContext,
    *,
    precision: str,
    limit: float = LIMIT_SECONDS,
    worker: str = _aoti_worker.__name__,
) -> Compiled:
    """The model's package, and what it gives for the batches, in the context's scratch folder.

    limit: seconds for all of it; worker: the module that answers. Raises ProcessDied where a signal ended
    the process, and BuildError where the limit did or the network cannot be compiled; one line each.
    """
    folder = Path(tempfile.mkdtemp(prefix="aoti-", dir=context.scratch))
    (folder / _aoti_worker.MODEL).mkdir()
    model.save(folder / _aoti_worker.MODEL)
    _aoti_worker.write_batches(folder / _aoti_worker.BATCHES, batches)
    request = {"device": context.device, "threads": context.threads, "precision": precision}
    (folder / _aoti_worker.REQUEST).write_text(json.dumps(request), "utf-8")
    ended = run_worker(worker, folder, limit=limit)
    package = folder / _aoti_worker.PACKAGE
    if ended.code != 0:
        raise _failure(ended, compiling=not package.exists(), limit=limit)
    answer = json.loads((folder / _aoti_worker.ANSWER).read_text("utf-8"))
    if "error" in answer:
        raise BuildError(answer["error"])
    with np.load(folder / _aoti_worker.SCORES, allow_pickle=False) as arrays:
        batches_given = [arrays[str(place)] for place in range(len(batches))]
    return Compiled(package, tuple(answer.pop("inputs")), scores=batches_given, **answer)


def _failure(ended: Ended, *, compiling: bool, limit: float) -> BuildError:
    doing = "compiling the network" if compiling else "predicting calibration rows with the compiled network"
    if ended.code is None:
        return BuildError(
            f"to_aoti: {doing} did not end within {limit:g} s, and was given up; see that the C++ compiler "
            "(CXX) works, or use another runtime"
        )
    if ended.signal is None:
        return BuildError(f"to_aoti: the process that was {doing} failed: {ended.message}")
    likely = ", most likely for want of memory" if ended.signal == "SIGKILL" else ""
    return ProcessDied(
        f"to_aoti: the process that was {doing} died by {ended.signal}{likely}: this machine cannot run it; "
        "use another runtime, such as onnxruntime (to_onnx)"
    )
