"""Scores of a model on a split during its build, for choices of steps. They never use the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.plugins.base import iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.tasks.parts.objectives import Labelled, Objective, encode_labelled_rows, make_objective

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


@dataclass(frozen=True)
class Score:
    """Means over the answers that have a label: the objective's loss and its quality."""

    loss: float
    quality: float


@torch.inference_mode()
def score(network: nn.Module, data: Labelled, objective: Objective, *, batch_size: int = 64) -> Score:
    """The network's score on labelled rows, in its current mode (the caller sets eval mode)."""
    device = next(network.parameters()).device
    order = np.argsort(-data[0].lengths, kind="stable").tolist()
    sums, answers = np.zeros(2), 0
    for positions in iter_batches(order, batch_size):
        batch = {k: torch.from_numpy(v).to(device) for k, v in data[0].batch(positions).items()}
        labels = torch.from_numpy(data[1][positions]).to(device)
        logits, flat = objective.flat(network(**batch).logits, labels)
        known = objective.has_label(flat)
        logits, flat = logits[known], flat[known]
        losses = objective.losses(logits, flat), objective.qualities(logits, flat)
        sums += [float(values.double().sum()) for values in losses]
        answers += len(losses[0])
    return Score(*(float(total / max(answers, 1)) for total in sums))


@torch.inference_mode()
def compute_answers(network: nn.Module, data: Labelled, objective: Objective, *, limit: int) -> torch.Tensor:
    """(answers, outputs) float32: at most `limit` answers of the network, spread over the rows."""
    device = next(network.parameters()).device
    order = np.argsort(-data[0].lengths, kind="stable").tolist()
    outputs = []
    for positions in iter_batches(order, 64):
        batch = {k: torch.from_numpy(v).to(device) for k, v in data[0].batch(positions).items()}
        labels = torch.from_numpy(data[1][positions]).to(device)
        logits, _ = objective.flat(network(**batch).logits, labels)
        share = -(-limit * len(positions) // len(order))
        outputs.append(logits[:: -(-len(logits) // share)].cpu())
    return torch.cat(outputs)


def compute_quality(model: TorchModel, context: BuildContext) -> float:
    """The objective's quality on `selection`, such as the share of rows that are right.

    Raises DataError without rows, BuildError for answers that are not finite.
    """
    context.rows("selection")
    data = encode_labelled_rows(model, "selection", context)
    assert data is not None
    model.network.eval()
    scored = score(model.network, data, make_objective(context.task, context.task_params)).quality
    if not np.isfinite(scored):
        raise BuildError("the model's answers on selection are not finite")
    return scored
