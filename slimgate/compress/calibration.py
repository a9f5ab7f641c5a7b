"""What the layers of a model receive from real rows: the basis of every step that looks at activations.

batches = calibration_batches(model, context)
watch_inputs(model, {"…query": layer}, batches, lambda name, tokens: …)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from slimgate.protocols import BuildContext, iter_batches
from slimgate.tasks.parts.encoding import EncodedTexts

Batch = dict[str, torch.Tensor]
See = Callable[[str, torch.Tensor], None]


def calibration_batches(
    model: Any, context: BuildContext, *, split: str = "calibration", batch_size: int = 32
) -> list[Batch]:
    """A split's rows as the model's inputs, sorted by length, on the context's device: (rows, tokens) int64.

    Raises DataError where the split is empty.
    """
    rows = context.rows(split)
    encoded: EncodedTexts = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    order = np.argsort(encoded.lengths, kind="stable").tolist()
    return [
        {
            name: torch.from_numpy(values).to(context.device)
            for name, values in encoded.batch(positions).items()
        }
        for positions in iter_batches(order, batch_size)
    ]


def watch_inputs(model: Any, layers: Mapping[str, nn.Module], batches: list[Batch], see: See) -> None:
    """Runs the network over the batches; see(name, tokens) gets what each layer receives.

    tokens: (tokens, in_features), without those that are padding.
    """

    def hook(name: str, batch: Batch) -> Callable[..., None]:
        return lambda _module, inputs, _output: see(name, without_padding(inputs[0].detach(), batch))

    model.network.eval()
    with torch.no_grad():
        for batch in batches:
            with _hooked({layers[name]: hook(name, batch) for name in layers}):
                model.network(**batch)


def without_padding(values: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(rows, tokens, features) -> (real tokens, features); what is not by token stays as rows."""
    mask = batch.get("attention_mask")
    if values.dim() != 3 or mask is None or mask.shape != values.shape[:2]:
        return values.reshape(-1, values.shape[-1])
    return values[mask.bool()]


@contextmanager
def _hooked(hooks: Mapping[nn.Module, Callable[..., None]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
