"""Drops blocks one after another, and lets the model learn from the teacher after each.

    { progressive_distill = { blocks = 3, epochs = 1 } }
    { progressive_distill = { blocks = 2, at_once = 2, order = "top", final_epochs = 3 } }

The importance of a block is T² · KL to the teacher's answers on train rows without it. After each drop the
model is distilled. The options of distill hold, without a transfer set.
Sources: Sajjad et al. 2023 (which layers to drop, iteratively); Xu et al. 2020 (BERT-of-Theseus: gradual).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.models.config import count_blocks
from slimgate.plugins.base import iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.steps.training.params import InnerParams, TaughtStep

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json
    from slimgate.steps.training.distillation import ReadRows
    from slimgate.tasks.parts.objectives import Targets

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
        blocks = count_blocks(config)
        if blocks is not None and params.blocks >= blocks:
            raise SuiteError(
                f"blocks = {params.blocks} was given, but the model has {blocks} at this step, expected fewer"
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
    from slimgate.steps.training.distillation import (
        DistillationLoss,
        load_student_and_teacher,
        train_by_distillation,
    )
    from slimgate.steps.training.matching import make_matches
    from slimgate.steps.training.teacher_answers import compute_teacher_answers
    from slimgate.tasks.parts.objectives import make_objective

    numbers = list(range(len(find_only_block_list(model.network))))
    student, teacher, targets = load_student_and_teacher(model, context)
    objective = make_objective(context.task, context.task_params)
    answers = None
    if objective.by_row:
        answers = compute_teacher_answers(
            teacher.model, teacher.encoded, None, objective, context, precision=params.precision
        )
    stages: list[dict[str, Any]] = []
    while len(numbers) > params.blocks:
        places = _choose_blocks_to_drop(student, teacher, targets, params, context)
        stage_context = replace(context, log={}, seed=context.seed + len(stages))
        remaining = tuple(place for place in range(len(numbers)) if place not in places)
        keep_blocks_(model, remaining)
        stage_context.log.update(blocks_before=len(numbers), blocks_after=len(remaining))
        dropped, numbers = [numbers[i] for i in places], [numbers[i] for i in remaining]
        loss = DistillationLoss(
            student,
            teacher,
            params,
            stage_context,
            targets=targets,
            matches=make_matches(model, teacher.model, params, seed=stage_context.seed),
            answers=answers,
        )
        is_last = len(numbers) == params.blocks
        epochs = params.final_epochs if is_last and params.final_epochs else params.epochs
        stage_params = params.model_copy(update={"epochs": epochs})
        train_by_distillation(targets, loss, stage_params, stage_context)
        stages.append({"dropped": dropped, "blocks": len(numbers), **stage_context.log})
    context.log.update(stages=stages, blocks_kept=numbers, teacher=params.teacher)


def _choose_blocks_to_drop(
    student: ReadRows, teacher: ReadRows, targets: Targets, params: Params, context: BuildContext
) -> list[int]:
    """Numbers of the blocks to drop now, in ascending order."""
    import torch

    from slimgate.models.blocks import find_only_block_list
    from slimgate.steps.training.options import without_block

    blocks = find_only_block_list(student.model.network)
    count = min(params.at_once, len(blocks) - params.blocks)
    if params.order == "top":
        return list(range(len(blocks) - count, len(blocks)))
    losses = []
    for block in blocks:
        with without_block(block), torch.inference_mode():
            losses.append(_compute_soft_loss(student, teacher, targets, params, context))
    return sorted(np.argsort(losses, kind="stable")[:count].tolist())


def _compute_soft_loss(
    student: ReadRows, teacher: ReadRows, targets: Targets, params: Params, context: BuildContext
) -> float:
    """Sum of the soft losses of the first train rows."""
    import torch

    from slimgate.tasks.parts.objectives import make_objective

    objective = make_objective(context.task, context.task_params)

    def compute_logits(rows: ReadRows, positions: Sequence[int], labels: torch.Tensor) -> torch.Tensor:
        arrays = rows.encoded.batch(positions)
        batch = {name: torch.from_numpy(values).to(context.device) for name, values in arrays.items()}
        return objective.flat(rows.model.network(**batch).logits, labels)[0]

    total = 0.0
    student.model.network.eval()
    for positions in iter_batches(range(min(JUDGED_ROWS, len(student.encoded.lengths))), 64):
        labels = torch.from_numpy(targets[positions]).to(context.device)
        logits, teacher_logits = (compute_logits(rows, positions, labels) for rows in (student, teacher))
        total += float(objective.soft_losses(logits, teacher_logits, params.temperature).sum())
    return total
