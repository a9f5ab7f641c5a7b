"""A separate process that compiles a network ahead of time and tries the package on some batches.

    python -P -m slimgate.steps.convert._aoti_worker FOLDER

reads FOLDER/request.json {"device", "threads", "precision"}, FOLDER/model as TorchModel.save wrote it, and
FOLDER/batches.npz ("0/input_ids", …). It writes FOLDER/model.pt2, then FOLDER/scores.npz ("0", …: the
package's scores for each batch) and FOLDER/answer.json: inputs, weights, compile_seconds; or {"error"} alone.
If the compiled code crashes, there is no answer, and the calling process continues.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate._system.worker import answer_request
from slimgate.plugins.base import Arrays, Json

if TYPE_CHECKING:
    import torch
    from torch import nn

    from slimgate.models.torch_model import TorchModel

MODEL, BATCHES = "model", "batches.npz"
PACKAGE, SCORES = "model.pt2", "scores.npz"


def compile_and_predict(folder: Path, request: Json) -> Json:
    """Compiles the folder's model and predicts its batches. Raises BuildError if it is not one graph."""
    import torch

    from slimgate.models.torch_model import load_torch_model
    from slimgate.runtimes.aoti import AotiPredictor, open_package
    from slimgate.runtimes.compiled import compile_in_process
    from slimgate.steps.agreement import score_batches

    device, threads = request["device"], request["threads"]
    torch.set_num_threads(threads)
    model: TorchModel = load_torch_model(folder / MODEL, device=device)
    if request["precision"] == "bfloat16":
        model.network.to(torch.bfloat16)
    batches = read_batches(folder / BATCHES)
    example = {
        name: torch.from_numpy(values).to(device) for name, values in make_example_batch(batches[0]).items()
    }
    start = time.perf_counter()
    with compile_in_process("to_aoti", device):
        compile_network(model.network, example, folder / PACKAGE, threads)
    seconds = time.perf_counter() - start
    predictor = AotiPredictor(open_package(folder / PACKAGE), tuple(example), device)
    predicted = score_batches(predictor, batches)
    np.savez(folder / SCORES, **{str(place): values for place, values in enumerate(predicted)})  # type: ignore[arg-type]
    return {"inputs": list(example), "weights": model.measure_size(), "compile_seconds": round(seconds, 3)}


def compile_network(network: nn.Module, example: Json, package: Path, threads: int) -> None:
    """Compiles a network's logits, in float32. example: tensors by name, on the network's device."""
    import torch
    from torch import nn
    from torch.export import Dim

    class Logits(nn.Module):
        """The network's logits alone, in float32."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, inputs: dict[str, torch.Tensor]) -> Any:
            return self.network(**inputs).logits.float()

    # rows and tokens are dynamic; of images only the rows, because the model fixes their sides
    axes = {
        name: dict.fromkeys((0, 1) if value.dim() == 2 else (0,), Dim.DYNAMIC)
        for name, value in example.items()
    }
    with torch.no_grad():
        program = torch.export.export(Logits().eval(), (example,), dynamic_shapes=(axes,))
        torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(package),
            # loops for more than one thread, for any thread count of the runtime
            inductor_configs={"cpp.dynamic_threads": True, "cpp.threads": max(threads, 2)},
        )


def make_example_batch(batch: Arrays) -> Arrays:
    """Repeats rows of a batch until there are two or more, and not as many as tokens.

    torch.export would take equal sizes for one size, and 1 for a constant.
    """
    rows, tokens = next(iter(batch.values())).shape[:2]
    chosen = [row % rows for row in range(max(rows, 2))]
    if len(chosen) == tokens:
        chosen.append(0)
    return {name: np.ascontiguousarray(values[chosen]) for name, values in batch.items()}


def write_batches(file: Path, batches: list[Arrays]) -> None:
    """Writes all arrays into one file, under the batch's number and their name."""
    arrays: Any = {
        f"{place}/{name}": values for place, batch in enumerate(batches) for name, values in batch.items()
    }
    np.savez(file, **arrays)


def read_batches(file: Path) -> list[Arrays]:
    """Reads what `write_batches` wrote."""
    by_batch: dict[int, dict[str, Any]] = {}
    with np.load(file, allow_pickle=False) as arrays:
        for key in arrays:
            place, _, name = key.partition("/")
            by_batch.setdefault(int(place), {})[name] = arrays[key]
    return [by_batch[place] for place in sorted(by_batch)]


if __name__ == "__main__":
    answer_request(compile_and_predict)
