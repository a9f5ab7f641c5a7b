"""Compiles the network ahead of time: torch.export, then a package by PyTorch's AOTInductor.

    { to_aoti = {} }

What leaves it is run without Python inside the network, and without compiling at load. One program serves
all batch sizes and lengths. precision = "bfloat16" keeps all weights and computes in 16 bits, logits too
(`cast` before it keeps LayerNorms, softmax and logits in float32). The package answers calibration rows as
the network did, within `tolerance` (standard deviations of the scores; 0.01, or 0.1 of bfloat16, where it is
not given); one row alone and rows of one token are among those compared. It needs a C++ compiler.
A .pt2 package is machine code for this kind of processor: only those of one's own store are loaded.
Source: Ansel et al. 2024, "PyTorch 2", ASPLOS.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import Field

from slimgate.protocols import Arrays, BuildContext
from slimgate.tables import Table

takes = frozenset({"torch", "torch_quantized"})
gives = "torch_aoti"
reads = ("calibration",)
uses_teacher = False
stochastic = False
TOLERANCE = {"float32": 0.01, "bfloat16": 0.1}


class Params(Table):
    """The format of weights and products, and how far answers may move."""

    precision: Literal["float32", "bfloat16"] = "float32"
    tolerance: float | None = Field(default=None, gt=0)


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The package of the model. Raises BuildError where it cannot be one graph, or answers otherwise."""
    import torch

    from slimgate.agreement import calibration_arrays, check_agreement, scores
    from slimgate.compiling import compiler
    from slimgate.errors import BuildError
    from slimgate.exported_model import ExportedModel

    batches = _with_small_ones(calibration_arrays(model.tokenizer, context))
    eager = model.predictor(context)
    before = scores(eager, batches)
    if params.precision == "bfloat16":
        if model.kind != "torch":
            raise BuildError(
                f"an artifact of kind {model.kind} holds scales that bfloat16 would spoil, expected kind "
                "torch; leave precision out"
            )
        model.network.to(torch.bfloat16)
    example = eager.prepare(_example(batches[0]))
    package, start = context.scratch / "model.pt2", time.perf_counter()
    with compiler("to_aoti", context.device):
        _compile(model.network, example, package, context.threads)
    context.log.update(compile_seconds=round(time.perf_counter() - start, 3), precision=params.precision)
    made = ExportedModel(
        package=package,
        tokenizer=model.tokenizer,
        config=model.config,
        inputs=tuple(example),
        device=context.device.partition(":")[0],
        weights=model.footprint(),
    )
    tolerance = params.tolerance or TOLERANCE[params.precision]
    check_agreement(before, scores(made.predictor(context), batches), batches, context, tolerance=tolerance)
    return made


def _with_small_ones(batches: list[Arrays]) -> list[Arrays]:
    """The batches, one row alone, and rows of one token: exported programs may take sizes for above 1."""
    first = batches[0]
    one_token = {name: values[:, :1] if values.ndim == 2 else values for name, values in first.items()}
    return [*batches, {name: values[:1] for name, values in first.items()}, one_token]


def _example(batch: Arrays) -> Arrays:
    """Two rows at least, and not as many as there are tokens, or the two sizes would count as one."""
    import numpy as np

    rows, tokens = next(iter(batch.values())).shape[:2]
    wanted = [place % rows for place in range(max(rows, 2))]
    if len(wanted) == tokens:
        wanted.append(0)
    return {name: np.ascontiguousarray(values[wanted]) for name, values in batch.items()}


def _compile(network: Any, example: dict[str, Any], package: Any, threads: int) -> None:
    import torch
    from torch import nn
    from torch.export import Dim

    class Logits(nn.Module):
        """The network's logits alone, in float32."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, inputs: dict[str, Any]) -> Any:
            return self.network(**inputs).logits.float()

    axes = {name: dict.fromkeys(range(min(value.dim(), 2)), Dim.DYNAMIC) for name, value in example.items()}
    for name, value in example.items():
        if value.dim() != 2:  # of images the sides are the model's
            axes[name] = {0: Dim.DYNAMIC}
    with torch.no_grad():
        program = torch.export.export(Logits().eval(), (example,), dynamic_shapes=(axes,))
        torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(package),
            # loops for more than one thread, however many the runtime is given
            inductor_configs={"cpp.dynamic_threads": True, "cpp.threads": max(threads, 2)},
        )
