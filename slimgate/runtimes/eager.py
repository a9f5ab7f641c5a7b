"""PyTorch as it is: runs the artifacts that PyTorch modules make up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.models.quantized_files import CHECKPOINTS, SERVED
from slimgate.models.saved_files import is_checkpoint
from slimgate.params import Table
from slimgate.protocols import NEW_TOKENS, Arrays, BuildContext, Form, Runtime


class Params(Table):
    """runtime = { name = "eager" } has no options."""


class EagerPredictor:
    """A network in evaluation mode behind the Predictor's three calls."""

    def __init__(self, network: Any, device: str) -> None:
        import torch

        self.network: Any = network
        self._device = torch.device(device)

    def prepare(self, batch: Arrays) -> object:
        """Arrays as tensors on the device."""
        import torch

        return {name: torch.from_numpy(values).to(self._device) for name, values in batch.items()}

    def forward(self, prepared: Any) -> object:
        """Logits of one batch, or tokens that it writes; on a GPU, finished when it returns."""
        import torch

        with torch.inference_mode():
            output = self._write(**prepared) if NEW_TOKENS in prepared else self.network(**prepared).logits
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return output

    def _write(self, *, new_tokens: Any, **inputs: Any) -> Any:
        from slimgate.models.write_answers import write_tokens

        return write_tokens(self.network, **inputs, count=int(new_tokens))

    def fetch(self, output: Any) -> npt.NDArray[np.float32]:
        """Logits as float32 on the host."""
        return np.asarray(output.float().cpu().numpy(), dtype=np.float32)

    def close(self) -> None:
        """Drops the network."""
        self.network = None


class Eager(Runtime[Params]):
    kinds = frozenset({"torch", "torch_quantized", SERVED, *CHECKPOINTS})
    default_for = kinds
    any_processor = frozenset({"torch"})
    counts_macs = True
    form = Form(
        name="transformers",
        package="torch",
        imports="import torch\nfrom transformers import AutoConfig, {auto}, AutoTokenizer\n",
        load='model = {auto}.from_pretrained(".").eval()',
        predict='batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")\n'
        "with torch.inference_mode():\n"
        "    scores = model(**batch).logits.float().numpy()",
        takes=frozenset({"torch", "torch_quantized"}),
    )

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> EagerPredictor:
        """The artifact's network, on `threads` threads."""
        import torch

        torch.set_num_threads(threads)
        return EagerPredictor(self.load_model(folder, device).network, device)

    def load_model(self, folder: Path, device: str) -> Any:
        """The TorchModel of an artifact, or the Served."""
        if is_checkpoint(folder):
            from slimgate.models.checkpoint import load_checkpoint

            return load_checkpoint(folder, device=device)
        from slimgate.models.served import is_served, load_served
        from slimgate.models.torch_model import load_torch_model

        if is_served(folder):
            return load_served(folder, device)
        return load_torch_model(folder, device=device)

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> int:
        """By the operations that one call of the network makes."""
        import torch

        from slimgate.models.torch_macs import count_macs

        inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
        return count_macs(self.load_model(folder, device).network, inputs)

    def open_model(self, model: Any, context: BuildContext) -> EagerPredictor:
        """A TorchModel's network, which a step has made."""
        return EagerPredictor(model.network.eval(), context.device)


runtime = Eager()
