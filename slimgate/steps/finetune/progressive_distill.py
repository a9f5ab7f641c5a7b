"""Drops blocks one after another, and lets the model learn from the teacher after each.

    { progressive_distill = { blocks = 3, epochs = 1 } }
    { progressive_distill = { blocks = 2, at_once = 2, order = "top", final_epochs = 3 } }

The importance of a block is T² · KL to the teacher's answers on train rows without it. After each drop the
model is distilled. The options of distill hold, without a transfer set.
Sources: Sajjad et al. 2023 (which layers to drop, iteratively); Xu et al. 2020 (BERT-of-Theseus: gradual).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.models.config import count_blocks
from slimgate.plugins.base import Arrays, iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Encoded
from slimgate.steps.training.distillation_params import InnerParams, TaughtStep

if TYPE_CHECKING:
    import torch

    from slimgate.steps.training.teacher_answers import Answers
    from slimgate.tasks.parts.objectives import Labelled

    RowsOfBoth = tuple[Labelled, Encoded]
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json

JUDGED_ROWS = 256  # train rows by which blocks are compared; a split's rows are in random order


class Params(InnerParams):
    """Options of progressive dropping, in addition to those of distillation."""

    blocks: int = Field(ge=1)
    """Number of blocks that the step keeps."""
    at_once: int = Field(default=1, ge=1)
    """Number of blocks that are dropped before each training."""
    order: Literal["importance", "top"] = "importance"
    """Which blocks are dropped first: those whose absence changes the answers least ("importance"), or the
    last ones ("top")."""
    final_epochs: int | None = Field(default=None, ge=1, le=1000)
    """Number of epochs after the last blocks were removed; default: the value of `epochs`."""
    stored_logits: Literal[True] | None = None
    """Can only be true: the teacher's logits are always computed once, before training."""


class ProgressiveDistill(TaughtStep[Params]):
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError if there is no block to drop."""
        had = count_blocks(config)
        if had is not None and params.blocks >= had:
            raise SuiteError(
                f"blocks = {params.blocks} was given, but the model has {had} at this step, expected fewer"
            )
        return {**config, "num_hidden_layers": params.blocks}

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with fewer blocks."""
        from slimgate.models.blocks import find_only_block_list

        self.check(params, {"num_hidden_layers": len(find_only_block_list(model.network))})
        distill_progressively(model, params, context)
        return model


step = ProgressiveDistill()


def distill_progressively(model: TorchModel, params: Params, context: BuildContext) -> None:
    """Drops blocks of `model` in place until params.blocks are left; context.log gets every stage."""
    from slimgate.models.block_choice import keep_blocks_
    from slimgate.models.blocks import find_only_block_list
    from slimgate.steps.training.distillation import load_rows_and_teacher
    from slimgate.steps.training.teacher_answers import compute_teacher_answers
    from slimgate.tasks.parts.objectives import make_objective

    numbers = list(range(len(find_only_block_list(model.network))))
    data, teacher, teacher_encoded = load_rows_and_teacher(model, context)
    objective = make_objective(context.task, context.task_params)
    answers = None
    if objective.by_row:
        answers = compute_teacher_answers(
            teacher, teacher_encoded, None, objective, context, precision=params.precision
        )
    stages: list[dict[str, Any]] = []
    while len(numbers) > params.blocks:
        doomed = _choose_blocks_to_drop(model, teacher, params, (data, teacher_encoded), context)
        stage_context = replace(context, log={}, seed=context.seed + len(stages))
        remaining = tuple(i for i in range(len(numbers)) if i not in doomed)
        keep_blocks_(model, remaining)
        stage_context.log.update(blocks_before=len(numbers), blocks_after=len(remaining))
        dropped, numbers = [numbers[i] for i in doomed], [numbers[i] for i in remaining]
        _distill(
            model,
            teacher,
            (data, teacher_encoded, answers),
            params,
            stage_context,
            last=len(numbers) == params.blocks,
        )
        stages.append({"dropped": dropped, "blocks": len(numbers), **stage_context.log})
    context.log.update(stages=stages, blocks_kept=numbers, teacher=params.teacher)


def _choose_blocks_to_drop(
    model: TorchModel, teacher: TorchModel, params: Params, rows: RowsOfBoth, context: BuildContext
) -> list[int]:
    """Numbers of the blocks to drop now, in ascending order."""
    import torch

    from slimgate.models.blocks import find_only_block_list
    from slimgate.steps.training.options import without_block

    blocks = find_only_block_list(model.network)
    count = min(params.at_once, len(blocks) - params.blocks)
    if params.order == "top":
        return list(range(len(blocks) - count, len(blocks)))
    losses = []
    for block in blocks:
        with without_block(block), torch.inference_mode():
            losses.append(_compute_soft_loss(model, teacher, params, rows, context))
    return sorted(np.argsort(losses, kind="stable")[:count].tolist())


def _compute_soft_loss(
    model: TorchModel, teacher: TorchModel, params: Params, rows: RowsOfBoth, context: BuildContext
) -> float:
    """Sum of the soft losses of the first train rows."""
    import torch

    from slimgate.tasks.parts.objectives import make_objective

    objective = make_objective(context.task, context.task_params)
    (encoded, labels), teacher_encoded = rows
    total = 0.0
    model.network.eval()
    for positions in iter_batches(range(min(JUDGED_ROWS, len(encoded.lengths))), 64):
        targets = torch.from_numpy(labels[positions]).to(context.device)
        logits = [
            objective.flat(
                network.network(**_make_tensors(inputs.batch(positions), context)).logits, targets
            )[0]
            for network, inputs in ((model, encoded), (teacher, teacher_encoded))
        ]
        total += float(objective.soft_losses(logits[0], logits[1], params.temperature).sum())
    return total


def _make_tensors(batch: Arrays, context: BuildContext) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.from_numpy(values).to(context.device) for name, values in batch.items()}


def _distill(
    model: TorchModel,
    teacher: TorchModel,
    rows: tuple[Labelled, Encoded, Answers | None],
    params: Params,
    context: BuildContext,
    *,
    last: bool,
) -> None:
    from slimgate.steps.training.distillation import DistillationLoss
    from slimgate.steps.training.matching import make_matches
    from slimgate.steps.training.trainer import train

    data, teacher_encoded, answers = rows
    matches = make_matches(model, teacher, params, seed=context.seed)
    loss = DistillationLoss(
        model,
        teacher,
        data[0],
        teacher_encoded,
        params,
        context,
        targets=data[1],
        matches=matches,
        answers=answers,
    )
    epochs = params.final_epochs if last and params.final_epochs else params.epochs
    train(
        model,
        data,
        params.model_copy(update={"epochs": epochs}),
        context,
        loss=loss,
        attached=loss.modules_to_train,
        attached_learning_rate=params.projection_learning_rate,
    )
    context.log["loss_parts"] = loss.compute_mean_parts()
