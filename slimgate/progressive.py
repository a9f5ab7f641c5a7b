"""Blocks dropped in stages, with distillation after each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from slimgate.blocks import encoder_layers
from slimgate.distillation import DistillationLoss, soft_target_loss, stored_logits
from slimgate.distillation_rows import lesson
from slimgate.encoding import EncodedTexts
from slimgate.matching import matches_of
from slimgate.methods import keep_layers
from slimgate.methods.progressive_distill import Params, check
from slimgate.predicting import predict_scores
from slimgate.protocols import BuildContext
from slimgate.regularization import skipped
from slimgate.runtimes.eager import EagerPredictor
from slimgate.training import Labelled, labelled, train

JUDGED_ROWS = 256  # train rows by which blocks are compared; a split's rows stand in random order


def distill_progressively(model: Any, params: Params, context: BuildContext) -> None:
    """Drops blocks of `model` in place until params.blocks are left; context.log gets every stage."""
    numbers = list(range(len(encoder_layers(model.network))))
    check(params, {"num_hidden_layers": len(numbers)})
    data, teacher, taught = lesson(model, context)
    answers = stored_logits(teacher, taught, context)
    stages: list[dict[str, Any]] = []
    while len(numbers) > params.blocks:
        doomed = _doomed(model, params, data[0], answers, context)
        own = replace(context, log={}, seed=context.seed + len(stages))
        kept = tuple(i for i in range(len(numbers)) if i not in doomed)
        keep_layers.apply(model, keep_layers.Params(kept), own)
        dropped, numbers = [numbers[i] for i in doomed], [numbers[i] for i in kept]
        _distill(model, teacher, (data, taught, answers), params, own, last=len(numbers) == params.blocks)
        stages.append({"dropped": dropped, "blocks": len(numbers), **own.log})
    context.log.update(stages=stages, blocks_kept=numbers, teacher=params.teacher)


def _doomed(
    model: Any, params: Params, encoded: EncodedTexts, answers: npt.NDArray[np.float32], context: BuildContext
) -> list[int]:
    """Numbers of the blocks to drop now, in ascending order."""
    blocks = encoder_layers(model.network)
    count = min(params.at_once, len(blocks) - params.blocks)
    if params.order == "top":
        return list(range(len(blocks) - count, len(blocks)))
    rows = list(range(min(JUDGED_ROWS, len(encoded))))
    some = EncodedTexts(
        {name: values[: len(rows)] for name, values in encoded.columns.items()},
        encoded.padding,
        encoded.side,
        encoded.lengths[: len(rows)],
    )
    wanted = torch.from_numpy(answers[rows])
    predictor = EagerPredictor(model.network.eval(), context.device)
    losses = []
    for block in blocks:
        with skipped(block):
            scores = torch.from_numpy(predict_scores(predictor, some, batch_size=64))
        losses.append(soft_target_loss(scores, wanted, params.temperature).item())
    return sorted(np.argsort(losses, kind="stable")[:count].tolist())


def _distill(
    model: Any,
    teacher: Any,
    rows: tuple[Labelled, EncodedTexts, npt.NDArray[np.float32]],
    params: Params,
    context: BuildContext,
    *,
    last: bool,
) -> None:
    data, taught, answers = rows
    matches = matches_of(model, teacher, params, seed=context.seed)
    loss = DistillationLoss(model, teacher, data[0], taught, params, context, matches=matches, logits=answers)
    epochs = params.final_epochs if last and params.final_epochs else params.epochs
    train(
        model,
        data,
        params.model_copy(update={"epochs": epochs}),
        context,
        selection=labelled(model, "selection", context),
        loss=loss,
        attached=loss.attached,
        attached_learning_rate=params.projection_learning_rate,
    )
    context.log["loss_parts"] = loss.mean_parts()
