"""Compiles the network ahead of time: torch.export, then a package by PyTorch's AOTInductor.

    { to_aoti = {} }

The package runs without Python inside the network, and without compiling when it is loaded. One program
serves all batch sizes and lengths. With precision = "bfloat16" logits have 16 bits too; put `cast` before
this step to keep LayerNorms, softmax and logits in float32. The step needs a C++ compiler. It compares the
answers of the package with those of the network on calibration rows, within `tolerance`; a single row and
rows of one token are among them. Compiling and comparing run in their own process, so a compiler that hangs,
or code that this machine cannot run, becomes an error. A .pt2 package is machine code, so slimgate loads only
packages of your own store.
Source: Ansel et al. 2024, "PyTorch 2", ASPLOS.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from slimgate._system.worker import ANSWER, REQUEST, Ended, run_worker
from slimgate.errors import BuildError, ProcessDied
from slimgate.models.aoti_model import ExportedModel
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.steps.agreement import (
    Scores,
    check_agreement,
    make_calibration_batches,
    make_default_predictor,
    score_batches,
)
from slimgate.steps.convert import _aoti_worker
from slimgate.steps.convert._export import ExportStep

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

TOLERANCE = {"float32": 0.01, "bfloat16": 0.1}
LIMIT_SECONDS = 3600.0


class Params(Table):
    precision: Literal["float32", "bfloat16"] = "float32"
    """Format of weights and products; "bfloat16" stores weights and logits in 16 bits."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores; default:
    0.01, or 0.1 with bfloat16."""


class ToAoti(ExportStep[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_aoti"
    reads = ("calibration",)

    def by_processor(self, params: Params) -> bool:
        """A package is machine code for the processor that compiled it."""
        return True

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> ExportedModel:
        """The package of the model. Raises BuildError if it is not one graph, or if its answers differ."""
        if params.precision == "bfloat16" and model.kind != "torch":
            raise BuildError(
                f"an artifact of kind {model.kind} has scales that bfloat16 would make inexact, expected "
                "kind torch; leave precision out"
            )
        batches = _add_small_batches(make_calibration_batches(model.tokenizer, context))
        before = score_batches(make_default_predictor(model, context), batches)
        compiled = compile_apart(model, batches, context, precision=params.precision)
        context.log.update(compile_seconds=compiled.compile_seconds, precision=params.precision)
        tolerance = params.tolerance or TOLERANCE[params.precision]
        check_agreement(before, compiled.scores, batches, context, tolerance=tolerance)
        return ExportedModel(
            package=compiled.package,
            tokenizer=model.tokenizer,
            config=model.config,
            inputs=compiled.inputs,
            device=context.device.partition(":")[0],
            weights=compiled.weights,
        )


step = ToAoti()


def _add_small_batches(batches: list[Arrays]) -> list[Arrays]:
    """Adds a single row, and rows of one token, because exported programs may assume sizes above 1."""
    first = batches[0]
    one_token = {name: values[:, :1] if values.ndim == 2 else values for name, values in first.items()}
    return [*batches, {name: values[:1] for name, values in first.items()}, one_token]


@dataclass(frozen=True)
class CompiledPackage:
    """A compiled package. inputs: the names of its inputs, in the network's order.

    weights: parameters, nonzero_parameters and state_bytes of the compiled network. scores: those that the
    package gave, for each batch.
    """

    package: Path
    inputs: tuple[str, ...]
    weights: dict[str, int]
    scores: list[Scores]
    compile_seconds: float


def compile_apart(
    model: TorchModel,
    batches: list[Arrays],
    context: BuildContext,
    *,
    precision: str,
    limit: float = LIMIT_SECONDS,
    worker: str = _aoti_worker.__name__,
) -> CompiledPackage:
    """Compiles the model and predicts the batches in another process. The package is in context.scratch.

    An instruction that this processor does not know ends that process, and not this one. The processes
    exchange the model as its files (safetensors and JSON), and batches and scores as arrays.

    limit: seconds for everything. worker: the module that the process runs. Raises ProcessDied if a signal
    ended the process, and BuildError at the limit or if the network cannot be compiled; one line each.
    """
    folder = Path(tempfile.mkdtemp(prefix="aoti-", dir=context.scratch))
    (folder / _aoti_worker.MODEL).mkdir()
    model.save(folder / _aoti_worker.MODEL)
    _aoti_worker.write_batches(folder / _aoti_worker.BATCHES, batches)
    request = {"device": context.device, "threads": context.threads, "precision": precision}
    (folder / REQUEST).write_text(json.dumps(request), "utf-8")
    ended = run_worker(worker, folder, limit=limit)
    package = folder / _aoti_worker.PACKAGE
    if ended.code != 0:
        raise _make_error(ended, compiling=not package.exists(), limit=limit)
    answer = json.loads((folder / ANSWER).read_text("utf-8"))
    if "error" in answer:
        raise BuildError(answer["error"])
    with np.load(folder / _aoti_worker.SCORES, allow_pickle=False) as arrays:
        batch_scores = [arrays[str(place)] for place in range(len(batches))]
    return CompiledPackage(
        package,
        inputs=tuple(answer["inputs"]),
        weights=answer["weights"],
        scores=batch_scores,
        compile_seconds=answer["compile_seconds"],
    )


def _make_error(ended: Ended, *, compiling: bool, limit: float) -> BuildError:
    """The error of a worker that failed. compiling: whether it had not yet written the package."""
    doing = "compiling the network" if compiling else "predicting calibration rows with the compiled network"
    if ended.code is None:
        return BuildError(
            f"to_aoti: {doing} did not end within {limit:g} s, and was stopped; check that the C++ compiler "
            "(CXX) works, or use another runtime"
        )
    if ended.signal is None:
        return BuildError(f"to_aoti: the process that was {doing} failed: {ended.message}")
    cause = ", most likely because memory ran out" if ended.signal == "SIGKILL" else ""
    return ProcessDied(
        f"to_aoti: the process that was {doing} died by {ended.signal}{cause}: this machine cannot run it; "
        "use another runtime, such as onnxruntime (to_onnx)"
    )
