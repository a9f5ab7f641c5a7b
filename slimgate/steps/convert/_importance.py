"""The importance of each input of a linear layer: llama.cpp's importance matrix.

Its quantizer weighs the error of a weight by the mean square of the input that it is multiplied with. Here
that is measured on the network itself, over the real tokens of rows, as `llama-imatrix` does with llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.models.sentence_encoder import one_text_a_row
from slimgate.plugins.base import Arrays
from slimgate.steps.calibration import MASK, split_by_length

Importance = dict[str, npt.NDArray[np.float32]]


class _Sums:
    """Sums of squared inputs by layer, and the number of their tokens."""

    def __init__(self) -> None:
        self.squares: dict[str, torch.Tensor] = {}
        self.tokens: dict[str, int] = {}

    def add(self, name: str, inputs: torch.Tensor) -> None:
        """inputs: (rows, tokens, features) or (tokens, features)."""
        values = inputs.flatten(0, -2).double()
        squares = values.square().sum(0)
        self.squares[name] = self.squares[name] + squares if name in self.squares else squares
        self.tokens[name] = self.tokens.get(name, 0) + len(values)


@torch.inference_mode()
def measure_importance(network: nn.Module, batches: Sequence[Arrays], device: str) -> Importance:
    """Name of each layer -> (inputs,) mean square of each input. batches: of token ids, padded.

    A layer that no token reached is left out.
    """
    from transformers.pytorch_utils import Conv1D

    sums = _Sums()
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear | Conv1D)}
    network.eval()
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(
                layer.register_forward_pre_hook(lambda _, inputs, name=name: sums.add(name, inputs[0]))
            )
        hooks.enter_context(one_text_a_row(network))
        for batch in split_by_length(batches):
            inputs = {name: batch[name] for name in ("input_ids", MASK) if name in batch}
            network(**{name: torch.from_numpy(values).to(device) for name, values in inputs.items()})
    return {
        name: (squares / sums.tokens[name]).float().cpu().numpy()
        for name, squares in sums.squares.items()
        if sums.tokens[name]
    }


def count_tokens(batches: Sequence[Arrays]) -> int:
    """The number of real tokens in the batches."""
    return sum(int(batch["attention_mask"].sum()) for batch in batches)
