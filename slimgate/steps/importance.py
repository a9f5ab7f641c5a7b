"""How much the answers on `calibration` depend on parts of a network: by the gradient of masks that are 1.

    compute_mask_importance(model, {"bert.encoder.layer.0.attention.output.dense": 12}, context)

A mask multiplies a part's activations x. At a mask of 1, ∂loss/∂mask = Σ x · ∂loss/∂x, so no mask needs
to be put into the network. Sources: Michel et al. 2019, section 4.1; Molchanov et al. 2019, section 3.1.

The module also measures how much each output of a layer changes the loss: second moments of its gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slimgate.plugins.base import iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.tasks.parts.objectives import make_objective

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

Scores = npt.NDArray[np.float64]
Batch = dict[str, torch.Tensor]


def compute_gradient_moments(
    model: TorchModel, layers: Mapping[str, nn.Linear], context: BuildContext
) -> dict[str, Tensor]:
    """Name -> (out, out) float64: gradients g of the loss by a layer's outputs, sum over tokens of g g'.

    The labels are drawn from the model's own answers (always in the same way), so it is the Fisher
    information by outputs: to second order, the cost of their errors. Source: Martens & Grosse 2015.
    """
    sums = {
        name: torch.zeros(layer.out_features, layer.out_features, dtype=torch.float64).to(layer.weight.device)
        for name, layer in layers.items()
    }
    objective = make_objective(context.task, context.task_params)
    draws = torch.Generator().manual_seed(0)
    model.network.eval()
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.register_forward_hook(_make_adding_hook(sums[name])))
        for batch, labels in list_labelled_batches(model, context):
            logits, _ = objective.flat(model.network(**batch).logits, labels)  # answers without padding
            objective.drawn_losses(logits, draws).sum().backward()  # type: ignore[no-untyped-call]
            model.network.zero_grad(set_to_none=True)
    return sums


def _make_adding_hook(total: Tensor) -> Callable[..., None]:
    """A forward hook that adds the products of its output's gradients during the backward pass."""

    def add(gradient: Tensor) -> None:
        rows = gradient.flatten(0, -2)
        total.add_(rows.t() @ rows)

    return lambda _module, _inputs, output: output.register_hook(add) and None


def compute_mask_importance(
    model: TorchModel, sites: Mapping[str, int], context: BuildContext, *, batch_size: int = 32
) -> dict[str, Scores]:
    """For each site, mean over the rows of |∂ loss / ∂ mask|: name -> (masks,).

    sites: name of a module -> number of masks; each covers an equal run of consecutive features of the
    module's input. Raises DataError if `calibration` is empty.
    """
    network = model.network.eval()
    modules = {name: network.get_submodule(name) for name in sites}
    objective = make_objective(context.task, context.task_params)
    totals = {name: np.zeros(masks) for name, masks in sites.items()}
    for batch, labels in list_labelled_batches(model, context, batch_size=batch_size):
        with torch.enable_grad(), _inputs(modules) as caught:
            loss = objective.losses(*objective.flat(network(**batch).logits, labels)).sum()
            gradients = torch.autograd.grad(loss, list(caught.values()))
        for (name, values), gradient in zip(caught.items(), gradients, strict=True):
            totals[name] += _sum_mask_gradients(values.detach(), gradient, sites[name])
    rows = len(context.rows("calibration"))
    return {name: total / rows for name, total in totals.items()}


def list_labelled_batches(
    model: TorchModel, context: BuildContext, *, batch_size: int = 32
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """The rows of `calibration`, by length: inputs (rows, tokens) int64 and the task's targets."""
    rows = context.rows("calibration")
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    labels = context.task.targets(context.task_params, rows, context.facts, encoded)
    order = np.argsort(encoded.lengths, kind="stable").tolist()
    for positions in iter_batches(order, batch_size):
        batch = encoded.batch(positions)
        inputs = {name: torch.from_numpy(values).to(context.device) for name, values in batch.items()}
        yield inputs, torch.from_numpy(labels[positions]).to(context.device)


def _sum_mask_gradients(values: torch.Tensor, gradient: torch.Tensor, masks: int) -> Scores:
    """Sum over the rows of |∂loss/∂mask|; the derivative of a row is taken over all its tokens first."""
    products = (values * gradient).flatten(1, -2) if values.dim() > 2 else (values * gradient).unsqueeze(1)
    by_row = products.sum(1).reshape(len(products), masks, -1).sum(-1)
    return np.asarray(by_row.abs().sum(0).double().cpu().numpy())


@contextmanager
def _inputs(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, torch.Tensor]]:
    """The inputs of each module in the next call, as part of the graph."""
    caught: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
            caught[name] = values = args[0] if args else kwargs["hidden_states"]
            if not values.requires_grad:  # everything before it is frozen
                values.requires_grad_()

        return hook

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(watch(name), with_kwargs=True))
        yield caught
