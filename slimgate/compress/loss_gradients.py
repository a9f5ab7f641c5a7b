"""How much the loss feels each output of a layer: second moments of its gradients on calibration rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slimgate.compress.importance import labelled_batches
from slimgate.protocols import BuildContext
from slimgate.tasks.parts.objectives import objective_of


def gradient_moments(model: Any, layers: Mapping[str, nn.Linear], context: BuildContext) -> dict[str, Tensor]:
    """Name -> (out, out) float64: gradients g of the loss by a layer's outputs, sum over tokens of g g'.

    The labels are drawn from the model's own answers (always in the same way), so that it is the Fisher
    information by outputs: to second order, what their errors cost. Source: Martens & Grosse 2015.
    """
    sums = {
        name: torch.zeros(layer.out_features, layer.out_features, dtype=torch.float64).to(layer.weight.device)
        for name, layer in layers.items()
    }
    objective = objective_of(context.task, context.task_params)
    draws = torch.Generator().manual_seed(0)
    handles = [layer.register_forward_hook(_adding(sums[name])) for name, layer in layers.items()]
    model.network.eval()
    try:
        for batch, labels in labelled_batches(model, context):
            logits, _ = objective.flat(model.network(**batch).logits, labels)  # answers, and no padding
            objective.drawn_losses(logits, draws).sum().backward()  # type: ignore[no-untyped-call]
            model.network.zero_grad(set_to_none=True)
    finally:
        for handle in handles:
            handle.remove()
    return sums


def _adding(total: Tensor) -> Callable[..., None]:
    """A forward hook that adds the products of its output's gradients, when they come."""

    def add(gradient: Tensor) -> None:
        rows = gradient.flatten(0, -2)
        total.add_(rows.t() @ rows)

    return lambda _module, _inputs, output: output.register_hook(add) and None
