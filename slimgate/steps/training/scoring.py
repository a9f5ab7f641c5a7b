"""Scores of a model on a split during its build, for choices of steps. They never use the gate."""

from __future__ import annotations

from collections.abc import Sequence
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
class MeanScore:
    """Means over the answers that have a label: the objective's loss and its quality."""

    loss: float
    quality: float


@torch.inference_mode()
def score(network: nn.Module, data: Labelled, objective: Objective, *, batch_size: int = 64) -> MeanScore:
    """The network's score on labelled rows, in its current mode (the caller sets eval mode)."""
    loss = quality = 0.0
    answers = 0
    for positions in iter_batches(_sort_by_length(data), batch_size):
        logits, labels = _compute_batch(network, data, objective, positions)
        has_label = objective.has_label(labels)
        logits, labels = logits[has_label], labels[has_label]
        loss += float(objective.losses(logits, labels).double().sum())
        quality += float(objective.qualities(logits, labels).double().sum())
        answers += len(labels)
    return MeanScore(loss / max(answers, 1), quality / max(answers, 1))


@torch.inference_mode()
def compute_answers(network: nn.Module, data: Labelled, objective: Objective, *, limit: int) -> torch.Tensor:
    """(answers, outputs) float32: at most `limit` answers of the network, spread over the rows."""
    order = _sort_by_length(data)
    outputs = []
    for positions in iter_batches(order, 64):
        logits, _ = _compute_batch(network, data, objective, positions)
        share = -(-limit * len(positions) // len(order))
        outputs.append(logits[:: -(-len(logits) // share)].cpu())
    return torch.cat(outputs)


def _sort_by_length(data: Labelled) -> list[int]:
    """The positions of the rows, the longest first."""
    order: list[int] = np.argsort(-data[0].lengths, kind="stable").tolist()
    return order


def _compute_batch(
    network: nn.Module, data: Labelled, objective: Objective, positions: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of the answers to some rows, and their labels."""
    device = next(network.parameters()).device
    batch = {name: torch.from_numpy(values).to(device) for name, values in data[0].batch(positions).items()}
    labels = torch.from_numpy(data[1][positions]).to(device)
    return objective.flat(network(**batch).logits, labels)


def compute_quality(model: TorchModel, context: BuildContext) -> float:
    """The objective's quality on `selection`, such as the share of rows that are right.

    Raises DataError without rows, BuildError for answers that are not finite.
    """
    context.rows("selection")
    data = encode_labelled_rows(model, "selection", context)
    assert data is not None
    model.network.eval()
    quality = score(model.network, data, make_objective(context.task, context.task_params)).quality
    if not np.isfinite(quality):
        raise BuildError("the model's answers on selection are not finite")
    return quality
