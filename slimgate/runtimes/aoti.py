"""PyTorch's AOTInductor: runs the packages that `to_aoti` compiled."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Runtime

if TYPE_CHECKING:
    import torch
    from torch.export.pt2_archive._package import AOTICompiledModel

    from slimgate.models.aoti_model import ExportedModel


class Params(Table):
    """runtime = { name = "aoti" } has no options: `to_aoti` has them, which compiles the package."""


class AotiPredictor:
    """Wraps a package as a Predictor."""

    def __init__(self, package: AOTICompiledModel, inputs: tuple[str, ...], device: str) -> None:
        import torch

        self._package: Any = package
        self._inputs = inputs
        self._device = torch.device(device)

    def prepare(self, batch: Arrays) -> object:
        """Arrays as tensors on the device. Raises MeasureError if they are not the package's inputs."""
        import torch

        if set(batch) != set(self._inputs):
            raise MeasureError(
                f"inputs {', '.join(sorted(batch))} were given, expected those that the package was "
                f"compiled for: {', '.join(sorted(self._inputs))}"
            )
        # its code assumes contiguous arrays, and does not check
        dense = {name: np.ascontiguousarray(batch[name]) for name in self._inputs}
        return {name: torch.from_numpy(values).to(self._device) for name, values in dense.items()}

    def forward(self, prepared: dict[str, torch.Tensor]) -> object:
        """Logits of one batch; on a GPU, finished when it returns."""
        import torch

        with torch.inference_mode():
            logits = self._package(prepared)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return logits

    def fetch(self, output: torch.Tensor) -> npt.NDArray[np.float32]:
        """Logits as float32 on the host."""
        return np.asarray(output.cpu().numpy(), dtype=np.float32)

    def close(self) -> None:
        """Frees the package and its unpacked files."""
        self._package = None


def open_package(package: Path) -> Any:
    """Opens a package, which is called with a dict of tensors.

    Raises BuildError if it has files that are neither compiled code nor its description.
    """
    from torch._inductor import aoti_load_package

    from slimgate._system.quiet import silent
    from slimgate.models.aoti_model import check_package

    check_package(package)
    with silent(logging.WARNING):
        return aoti_load_package(str(package), run_single_threaded=True)


class Aoti(Runtime[Params]):
    kinds = frozenset({"torch_aoti"})
    obeys_onednn = True
    default_for = kinds

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> AotiPredictor:
        """Opens the package, with `threads` threads. Raises BuildError if it is for another machine."""
        import torch

        from slimgate.models.aoti_model import PACKAGE, read_description

        torch.set_num_threads(threads)
        description = read_description(folder, device)
        return AotiPredictor(open_package(folder / PACKAGE), tuple(description["inputs"]), device)

    def open_model(self, model: ExportedModel, context: BuildContext) -> AotiPredictor:
        """An ExportedModel's package, which a step has compiled."""
        return AotiPredictor(open_package(model.package), model.inputs, context.device)


runtime = Aoti()
