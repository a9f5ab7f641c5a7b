"""Which blocks of a transformer do least, by what `calibration` rows become in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from slimgate.models.blocks import encoder_layers
from slimgate.plugins.context import BuildContext
from slimgate.steps.calibration import calibration_batches, without_padding
from slimgate.steps.importance import labelled_batches
from slimgate.tasks.parts.objectives import objective_of


def block_influence(model: Any, context: BuildContext) -> list[float]:
    """For each block, 1 - mean cosine between a token as it comes in and as it goes out: 0 changes nothing.

    Source: Men et al. 2024 (ShortGPT), section 3.1. Raises DataError where `calibration` is empty.
    """
    layers, tokens = encoder_layers(model.network), 0
    sums = [0.0] * len(layers)
    batches = calibration_batches(model, context)

    def watch(number: int, batch: dict[str, torch.Tensor]) -> Callable[..., None]:
        def hook(_module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            before, after = (without_padding(x, batch) for x in (_entering(args, kwargs), _tensor(output)))
            sums[number] += float(nn.functional.cosine_similarity(before, after, dim=-1).double().sum())

        return hook

    model.network.eval()
    for batch in batches:
        tokens += int(batch["attention_mask"].sum())
        with torch.no_grad(), _with_hooks({layer: watch(i, batch) for i, layer in enumerate(layers)}):
            model.network(**batch)
    return [1 - total / tokens for total in sums]


def least_loss_order(model: Any, context: BuildContext, count: int) -> tuple[list[int], list[float]]:
    """The `count` blocks that go, in the order of their going, and the loss after each.

    Each time the block goes without which the mean loss on `calibration` is least; of equal ones the
    earlier. Raises DataError where `calibration` is empty.
    """
    gone: list[int] = []
    losses: list[float] = []
    for _ in range(count):
        left = [i for i in range(len(encoder_layers(model.network))) if i not in gone]
        block_losses = [loss_without(model, context, {*gone, block}) for block in left]
        losses.append(min(block_losses))
        gone.append(left[block_losses.index(losses[-1])])
    return gone, losses


def loss_without(model: Any, context: BuildContext, skipped: Collection[int]) -> float:
    """Mean loss on `calibration`, by the labels, when tokens pass these blocks unchanged."""
    objective = objective_of(context.task, context.task_params)
    layers = encoder_layers(model.network)
    model.network.eval()
    total, answers = 0.0, 0
    with torch.no_grad(), _with_hooks({layers[i]: _skip for i in skipped}):
        for batch, labels in labelled_batches(model, context):
            logits, flat = objective.flat(model.network(**batch).logits, labels)
            total += float(objective.losses(logits, flat).sum())
            answers += len(flat)
    return total / answers


def _skip(_module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
    entering = _entering(args, kwargs)
    return entering if isinstance(output, torch.Tensor) else (entering, *output[1:])


def _entering(args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
    values = args[0] if args else kwargs["hidden_states"]
    assert isinstance(values, torch.Tensor)
    return values


def _tensor(output: Any) -> torch.Tensor:
    values = output if isinstance(output, torch.Tensor) else output[0]
    assert isinstance(values, torch.Tensor)
    return values


@contextmanager
def _with_hooks(hooks: dict[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    handles = [m.register_forward_hook(hook, with_kwargs=True) for m, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
