"""How well a model does on a split while it is built: what choices are made by. Never the gate."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimgate.errors import BuildError
from slimgate.predicting import predict_scores
from slimgate.protocols import BuildContext
from slimgate.runtimes.eager import EagerPredictor


def accuracy_on(model: Any, context: BuildContext, split: str = "selection") -> float:
    """Share of rows whose highest score is their label's, in [0, 1]. Raises DataError without rows."""
    rows = context.rows(split)
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    labels = context.task.label_indices(context.task_params, rows, context.facts)
    model.network.eval()
    scores = predict_scores(EagerPredictor(model.network, context.device), encoded, batch_size=64)
    if scores.shape[1] != len(context.facts.classes):
        raise BuildError(f"the model gives {scores.shape[1]} scores, expected {len(context.facts.classes)}")
    return float(np.mean(scores.argmax(axis=1) == labels))
