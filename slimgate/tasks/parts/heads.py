"""A fresh classification head that starts from logistic regression instead of random numbers.

Kumar et al. 2022 (Fine-Tuning can Distort Pretrained Features, LP-FT): fit the head on frozen features
first. The features are exactly what the model's own last linear layer receives, caught on its way in.
A layer that is applied to every token (GPT-2, Llama) gives the features of the token whose logits count.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.protocols import Encoded, iter_batches

STRENGTHS = (1.0, 10.0, 100.0)


def classifier_inputs(network: nn.Module, layer: nn.Linear, encoded: Encoded) -> npt.NDArray[np.float32]:
    """What `layer` receives for each row, in the order of the rows: (rows, in_features)."""
    caught: list[torch.Tensor] = []
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = layer.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
    order = np.argsort(encoded.lengths, kind="stable")
    device = next(network.parameters()).device
    network.eval()
    try:
        with torch.inference_mode():
            for positions in iter_batches(order.tolist(), 64):
                batch = encoded.batch(positions)
                logits = network(
                    **{name: torch.from_numpy(values).to(device) for name, values in batch.items()}
                ).logits
                caught.append(_counted(*seen.pop(), logits).cpu())
    finally:
        hook.remove()
    features = torch.cat(caught).float().numpy()
    result = np.empty_like(features)
    result[order] = features
    return result


def _counted(inputs: torch.Tensor, outputs: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The inputs (rows, features) of the outputs that the model gives as its logits."""
    if inputs.dim() == 2:
        return inputs
    distance = (outputs - logits.unsqueeze(1)).abs().amax(-1)
    return inputs[torch.arange(len(inputs), device=inputs.device), distance.argmin(1)]


def fit_head(
    layer: nn.Linear,
    train: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
    held_out: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] | None,
    *,
    seed: int,
) -> dict[str, Any]:
    """Sets a layer's weights by logistic regression; the inverse regularisation is chosen on `held_out` rows.

    train, held_out: features (rows, in_features), labels (rows,). Gives the log: C and accuracies.
    """
    strengths: Sequence[float] = STRENGTHS if held_out is not None else (1.0,)
    has_bias = layer.bias is not None
    fitted = [logistic_regression(train, strength, seed, has_bias) for strength in strengths]
    scores = [float(model.score(*(held_out or train))) for model in fitted]
    best = int(np.argmax(scores))
    _copy(fitted[best], layer)
    return {
        "head": "logistic regression",
        "rows": len(train[1]),
        "C": strengths[best],
        "accuracy_selection" if held_out is not None else "accuracy_train": round(scores[best], 4),
    }


def logistic_regression(
    data: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]], strength: float, seed: int, has_bias: bool
) -> Any:
    """scikit-learn's, fitted on features (rows, in_features) and labels (rows,); strength: C."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength, max_iter=300, tol=1e-3, random_state=seed % 2**32, fit_intercept=has_bias
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start, not an end: training goes on from it
        return model.fit(*data)


def _copy(fitted: Any, layer: nn.Linear) -> None:
    weight = torch.full_like(layer.weight, 0.0)
    bias = torch.full((layer.out_features,), -10.0)  # a class without train rows is not predicted
    coef, intercept = torch.from_numpy(fitted.coef_), torch.from_numpy(fitted.intercept_)
    if len(coef) == 1:
        coef, intercept = torch.cat([-coef / 2, coef / 2]), torch.cat([-intercept / 2, intercept / 2])
    classes = torch.from_numpy(fitted.classes_)
    weight[classes], bias[classes] = coef.to(weight), intercept.to(bias)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)
