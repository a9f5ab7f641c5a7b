"""A fresh head of many labels that starts from one logistic regression a label on frozen features.

As heads.py does for classes (Kumar et al. 2022, LP-FT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.tasks.parts.heads import STRENGTHS, logistic_regression
from slimgate.tasks.parts.texts import HeadData

Floats = npt.NDArray[np.float64]
# The logit of a label that all train rows have, and with a minus of one that none has.
CERTAIN = 10.0


def fit_labels_head(
    layer: nn.Linear, train: HeadData, held_out: HeadData | None, *, seed: int
) -> dict[str, Any]:
    """Sets a layer's weights; the inverse regularisation, one for all labels, is chosen on `held_out` rows.

    train, held_out: features (rows, in_features), labels (rows, labels) 0 or 1. Gives the log: C and mean
    binary cross-entropy.
    """
    strengths = STRENGTHS if held_out is not None else STRENGTHS[:1]
    fitted = [_fit(train, strength, seed, has_bias=layer.bias is not None) for strength in strengths]
    losses = [_cross_entropy(weights, held_out or train) for weights in fitted]
    best = int(np.argmin(losses))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(fitted[best][:, :-1]))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(fitted[best][:, -1]))
    return {
        "head": "a logistic regression a label",
        "rows": len(train[1]),
        "C": strengths[best],
        "cross_entropy_selection" if held_out is not None else "cross_entropy_train": round(losses[best], 4),
    }


def _fit(data: HeadData, strength: float, seed: int, *, has_bias: bool) -> Floats:
    """(labels, in_features + 1) weights, the bias last."""
    features, labels = data
    found = np.zeros((labels.shape[1], features.shape[1] + 1))
    for line, column in zip(found, labels.T, strict=True):
        if column.min() == column.max():
            line[-1] = CERTAIN if column[0] else -CERTAIN
            continue
        model = logistic_regression((features, column.astype(np.int64)), strength, seed, has_bias)
        line[:-1], line[-1] = model.coef_[0], np.ravel(model.intercept_)[0]
    return found


def _cross_entropy(weights: Floats, data: HeadData) -> float:
    """In nats, mean over rows and labels."""
    logits = data[0] @ weights[:, :-1].T + weights[:, -1]
    return float(np.mean(np.logaddexp(0.0, logits) - logits * data[1]))
