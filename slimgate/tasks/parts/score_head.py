"""A fresh head of one number that starts from ridge regression on frozen features instead of random numbers.

As heads.py does for classes (Kumar et al. 2022, LP-FT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from slimgate.tasks.parts.texts import HeadData

PENALTIES = (1.0, 10.0, 100.0)


def fit_score_head(layer: nn.Linear, train: HeadData, held_out: HeadData | None) -> dict[str, Any]:
    """Sets a layer's weights by ridge regression; the penalty is chosen on `held_out` rows.

    train, held_out: features (rows, in_features), scores (rows,). Gives the log: alpha and squared errors.
    """
    penalties = PENALTIES if held_out is not None else (1.0,)
    fitted = [_fit(train, penalty, has_bias=layer.bias is not None) for penalty in penalties]
    errors = [_squared_error(model, held_out or train) for model in fitted]
    best = int(np.argmin(errors))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(fitted[best].coef_).reshape(1, -1))
        if layer.bias is not None:
            layer.bias.fill_(float(fitted[best].intercept_))
    return {
        "head": "ridge regression",
        "rows": len(train[1]),
        "alpha": penalties[best],
        "mse_selection" if held_out is not None else "mse_train": round(errors[best], 4),
    }


def _fit(data: HeadData, penalty: float, *, has_bias: bool) -> Any:
    from sklearn.linear_model import Ridge

    features, scores = data
    return Ridge(penalty, fit_intercept=has_bias).fit(features.astype(np.float64), scores.astype(np.float64))


def _squared_error(model: Any, data: HeadData) -> float:
    return float(np.mean((model.predict(data[0].astype(np.float64)) - data[1]) ** 2))
