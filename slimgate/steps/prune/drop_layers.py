"""Drops whole transformer blocks.

    { drop_layers = { layers = 3, strategy = "loss" } }           drops three blocks
    { drop_layers = { pruning_ratio = 0.5, strategy = "top" } }   drops half of them

strategy, which blocks are dropped:
    "alternate"  the blocks between evenly spaced ones that stay, including the first and the last: of 12, six
                 stay as 0, 2, 4, 7, 9, 11, DistilBERT's start (Sanh et al. 2019)
    "top"        the last ones, nearest to the answer (Sajjad et al. 2020)
    "influence"  those that change the tokens of `calibration` least: 1 - cosine between a block's input and
                 output (Men et al. 2024, ShortGPT, section 3.1)
    "loss"       one after the other, each time the block without which the loss on `calibration` is least

To name the blocks that stay, use keep_layers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.models.config import count_blocks
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    import torch
    from torch import nn

    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json


class Params(Table):
    exactly_one = ("layers", "pruning_ratio")
    layers: int | None = Field(default=None, ge=1)
    """Number of blocks to remove; give either layers or pruning_ratio."""
    pruning_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the blocks to remove, rounded to whole blocks; give either layers or pruning_ratio."""
    strategy: Literal["alternate", "top", "influence", "loss"] = "alternate"
    """Which blocks to remove: the blocks between evenly spread blocks that are kept ("alternate"), the last
    blocks ("top"), or the blocks that matter least on `calibration` rows, by how much they change the hidden
    states ("influence") or the loss ("loss")."""


class DropLayers(Step[Params]):
    reads = ("calibration",)
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError if no block would be dropped, or all blocks."""
        blocks = count_blocks(config)
        if blocks is None:
            return config
        count = _count_dropped(params, blocks)
        if not 0 < count < blocks:
            raise SuiteError(
                f"{count} of {blocks} blocks would be removed, expected 1 to {blocks - 1}: "
                "change layers or pruning_ratio"
            )
        return {**config, "num_hidden_layers": blocks - count}

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, if blocks are chosen by their position."""
        return ("calibration",) if params.strategy in ("alternate", "top") else ()

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model without those blocks; its configuration says how many there are."""
        from slimgate.models.block_choice import keep_blocks_
        from slimgate.models.blocks import find_only_block_list

        before = len(find_only_block_list(model.network))
        self.check(params, {"num_hidden_layers": before})
        dropped = _choose_blocks_to_drop(model, params, before, context)
        remaining = [block for block in range(before) if block not in dropped]
        keep_blocks_(model, remaining)
        context.log.update(blocks_before=before, blocks_after=len(remaining), kept=remaining)
        return model


step = DropLayers()


def _count_dropped(params: Params, blocks: int) -> int:
    return params.layers if params.layers is not None else round((params.pruning_ratio or 0.0) * blocks)


def _choose_blocks_to_drop(
    model: TorchModel, params: Params, before: int, context: BuildContext
) -> list[int]:
    from slimgate.models.block_choice import spread_block_numbers

    count = _count_dropped(params, before)
    if params.strategy == "alternate":
        remaining = spread_block_numbers(before, before - count)
        return [block for block in range(before) if block not in remaining]
    if params.strategy == "top":
        return list(range(before - count, before))
    if params.strategy == "influence":
        influence = compute_block_influence(model, context)
        context.log["influence"] = [round(value, 4) for value in influence]
        return sorted(range(before), key=lambda block: influence[block])[:count]
    dropped, losses = find_least_loss_order(model, context, count)
    context.log["loss_after_each"] = [
        {"block": block, "loss": round(loss, 4)} for block, loss in zip(dropped, losses, strict=True)
    ]
    return dropped


def compute_block_influence(model: TorchModel, context: BuildContext) -> list[float]:
    """For each block, 1 - mean cosine between a token before and after the block: 0 changes nothing.

    Source: Men et al. 2024 (ShortGPT), section 3.1. Raises DataError if `calibration` is empty.
    """
    import torch
    from torch import nn

    from slimgate.models.blocks import find_only_block_list
    from slimgate.steps.calibration import calibration_batches, forward_hooks, remove_padding

    layers, tokens = find_only_block_list(model.network), 0
    sums = [0.0] * len(layers)
    batches = calibration_batches(model, context)

    def watch(number: int, batch: dict[str, torch.Tensor]) -> Callable[..., None]:
        def hook(
            _module: nn.Module,
            args: tuple[torch.Tensor, ...],
            kwargs: dict[str, torch.Tensor],
            output: torch.Tensor | tuple[torch.Tensor, ...],
        ) -> None:
            before, after = (
                remove_padding(x, batch)
                for x in (_read_block_input(args, kwargs), _read_block_output(output))
            )
            sums[number] += float(nn.functional.cosine_similarity(before, after, dim=-1).double().sum())

        return hook

    model.network.eval()
    for batch in batches:
        tokens += int(batch["attention_mask"].sum())
        with torch.no_grad(), forward_hooks({layer: watch(i, batch) for i, layer in enumerate(layers)}):
            model.network(**batch)
    return [1 - total / tokens for total in sums]


def find_least_loss_order(
    model: TorchModel, context: BuildContext, count: int
) -> tuple[list[int], list[float]]:
    """The `count` blocks to drop, in their order, and the loss after each.

    Each time it drops the block without which the mean loss on `calibration` is least; of equal ones the
    earlier. Raises DataError if `calibration` is empty.
    """
    from slimgate.models.blocks import find_only_block_list

    dropped: list[int] = []
    losses: list[float] = []
    for _ in range(count):
        remaining = [i for i in range(len(find_only_block_list(model.network))) if i not in dropped]
        block_losses = [compute_loss_without(model, context, {*dropped, block}) for block in remaining]
        losses.append(min(block_losses))
        dropped.append(remaining[block_losses.index(losses[-1])])
    return dropped, losses


def compute_loss_without(model: TorchModel, context: BuildContext, skipped: Collection[int]) -> float:
    """Mean loss on `calibration`, by the labels, when tokens pass these blocks unchanged."""
    import torch

    from slimgate.models.blocks import find_only_block_list
    from slimgate.steps.calibration import forward_hooks
    from slimgate.steps.importance import list_labelled_batches
    from slimgate.tasks.parts.objectives import make_objective

    objective = make_objective(context.task, context.task_params)
    layers = find_only_block_list(model.network)
    model.network.eval()
    total, answers = 0.0, 0
    with torch.no_grad(), forward_hooks({layers[i]: _return_input for i in skipped}):
        for batch, labels in list_labelled_batches(model, context):
            logits, flat = objective.flat(model.network(**batch).logits, labels)
            total += float(objective.losses(logits, flat).sum())
            answers += len(flat)
    return total / answers


def _return_input(
    _module: nn.Module,
    args: tuple[torch.Tensor, ...],
    kwargs: dict[str, torch.Tensor],
    output: torch.Tensor | tuple[torch.Tensor, ...],
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    import torch

    tokens = _read_block_input(args, kwargs)
    return tokens if isinstance(output, torch.Tensor) else (tokens, *output[1:])


def _read_block_input(args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> torch.Tensor:
    import torch

    values = args[0] if args else kwargs["hidden_states"]
    assert isinstance(values, torch.Tensor)
    return values


def _read_block_output(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    import torch

    values = output if isinstance(output, torch.Tensor) else output[0]
    assert isinstance(values, torch.Tensor)
    return values
