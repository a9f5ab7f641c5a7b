"""Fresh heads that start from a fit on frozen features instead of random numbers.

| head          | starts from                                                        |
|---------------|--------------------------------------------------------------------|
| of classes    | logistic regression                                                |
| of labels     | one logistic regression a label                                    |
| of one number | ridge regression                                                   |
| over tokens   | logistic regression on the features of the tokens                  |

Kumar et al. 2022 (Fine-Tuning can Distort Pretrained Features, LP-FT): fit the head on frozen features
first. The features are exactly the inputs of the model's last linear layer, captured by a hook. If the layer
is applied to every token (GPT-2, Llama), they are the features of the token whose logits count.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.errors import DataError
from slimgate.models.precision import choose_answer_precision, in_precision
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.base import Progress, iter_batches, no_progress
from slimgate.plugins.rows import Encoded
from slimgate.tasks.parts.classifiers import HEAD_ROWS, HeadData
from slimgate.tasks.parts.objectives import Labelled, TokenObjective

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# C of a regression on features of variance one. On unscaled features, with C = 1, 10 and 100, a head of 77
# classes (banking77, frozen features) had 2.5 points less in 1.5 times the steps: the fits end too early.
STRENGTHS = (0.01, 0.1, 1.0)
USUAL_STRENGTH = 0.1  # without held-out rows to choose by
# A feature is constant if it varies by less than this share of the most variable feature. all-MiniLM-L6-v2
# has three of 1e-33 to 2e-9: scaled to variance one, they had weights of 1e30, whose gradients overflow.
CONSTANT = 1e-6
# The logit of a label that all train rows have; negated, of a label that no train row has.
CERTAIN = 10.0
# alpha of a ridge regression; the usual penalty if there are no held-out rows to choose by.
PENALTIES = (1.0, 10.0, 100.0)
USUAL_PENALTY = 1.0
# Features (rows, in_features), and labels (rows,). For a head over tokens, a row is a token.
LabelledFeatures = tuple[npt.NDArray[np.float32], Ints]


def compute_classifier_inputs(
    network: nn.Module,
    layer: nn.Linear,
    encoded: Encoded,
    *,
    precision: str = "float32",
    progress: Progress = no_progress,
) -> npt.NDArray[np.float32]:
    """The inputs of `layer` for each row, in the order of the rows: (rows, in_features).

    precision: "auto" computes in bfloat16 if models/precision.py allows it. A layer that is applied to
    every token stays in float32: in bfloat16, several tokens may have equal logits, so the token that counts
    is not known.
    """
    features_of_batches: list[torch.Tensor] = []
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []  # the input and the output of `layer` in a call
    order = np.argsort(encoded.lengths, kind="stable")
    device = next(network.parameters()).device

    def predict(positions: Sequence[int]) -> torch.Tensor:
        batch = encoded.batch(positions)
        inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
        logits: torch.Tensor = network(**inputs).logits
        return logits

    def compute_features(positions: Sequence[int]) -> torch.Tensor:
        logits = predict(positions)
        inputs, outputs = calls.pop()
        return _select_counted_inputs(inputs, outputs, logits).float().cpu()

    network.eval()
    hook = layer.register_forward_hook(lambda _module, inputs, output: calls.append((inputs[0], output)))
    with torch.inference_mode(), hook:
        if precision != "float32":
            predict(order[:1].tolist())
            inputs, _ = calls.pop()
            if inputs.dim() > 2:
                precision = "float32"
        precision = choose_answer_precision(precision, network, compute_features, order.tolist(), str(device))
        for positions in iter_batches(order.tolist(), 64):
            with in_precision(precision, str(device)):
                features_of_batches.append(compute_features(positions))
            progress("rows that a new head is fitted on", sum(map(len, features_of_batches)), len(order))
    features = torch.cat(features_of_batches).numpy()
    result = np.empty_like(features)
    result[order] = features
    return result


def _select_counted_inputs(inputs: torch.Tensor, outputs: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The inputs (rows, features) for the outputs that the model gives as its logits."""
    if inputs.dim() == 2:
        return inputs
    distance = (outputs - logits.unsqueeze(1)).abs().amax(-1)
    return inputs[torch.arange(len(inputs), device=inputs.device), distance.argmin(1)]


def fit_head(
    layer: nn.Linear,
    train: LabelledFeatures,
    held_out: LabelledFeatures | None,
    *,
    seed: int,
    classes: Sequence[str] = (),
    examples: str = "train rows",
) -> dict[str, Any]:
    """Sets a layer's weights by logistic regression; the inverse regularisation is chosen on `held_out` rows.

    classes: the names of the labels. examples: what `train` has, for messages. Returns the log: C and
    accuracies. Raises DataError for one class alone.
    """
    labels = np.unique(train[1])
    if len(labels) < 2:
        names = [classes[label] if classes else str(label) for label in labels]
        raise DataError(
            f"the {examples} have only the class {', '.join(names) or '(none)'}, and a new head needs two; "
            "add train rows of other classes"
        )
    strengths: Sequence[float] = STRENGTHS if held_out is not None else (USUAL_STRENGTH,)
    has_bias = layer.bias is not None
    fitted = [fit_logistic_regression(train, strength, seed, has_bias=has_bias) for strength in strengths]
    scores = [float(model.score(*(held_out or train))) for model in fitted]
    best = int(np.argmax(scores))
    _set_class_weights_(layer, *compute_raw_weights(fitted[best]))
    return {
        "head": "logistic regression",
        "rows": len(train[1]),
        "C": strengths[best],
        "accuracy_selection" if held_out is not None else "accuracy_train": round(scores[best], 4),
    }


def fit_logistic_regression(data: LabelledFeatures, strength: float, seed: int, *, has_bias: bool) -> Any:
    """scikit-learn's pipeline of a scaler and a regression. strength: C, the inverse regularisation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(
        C=strength, max_iter=300, tol=1e-3, random_state=seed % 2**32, fit_intercept=has_bias
    )
    features, labels = data
    spread = features.std(axis=0, dtype=np.float64)
    # the scaler does not change a feature with a single value
    features = np.where(spread > CONSTANT * spread.max(), features, features.mean(axis=0))
    with warnings.catch_warnings():
        # the fit is only a start: training continues from it
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(with_mean=has_bias), model).fit(features, labels)


def compute_raw_weights(fitted: Pipeline) -> tuple[Floats, Floats, Ints]:
    """A pipeline's weights (classes, in_features), biases and classes (classes,), for unscaled features.

    For two classes there is one row of weights, as in scikit-learn.
    """
    scaler, model = fitted[0], fitted[-1]
    weights = model.coef_ / scaler.scale_
    biases = np.zeros(len(weights)) + model.intercept_
    if scaler.with_mean:
        biases = biases - weights @ scaler.mean_
    return weights, biases, model.classes_


def _set_class_weights_(layer: nn.Linear, weights: Floats, biases: Floats, known: Ints) -> None:
    """Sets a layer's weights. weights, biases, known: as `compute_raw_weights` gives them."""
    weight = torch.full_like(layer.weight, 0.0)
    bias = torch.full((layer.out_features,), -10.0)  # a class without train rows is not predicted
    coef, intercept = torch.from_numpy(weights), torch.from_numpy(biases)
    if len(coef) == 1:
        coef, intercept = torch.cat([-coef / 2, coef / 2]), torch.cat([-intercept / 2, intercept / 2])
    classes = torch.from_numpy(known)
    weight[classes], bias[classes] = coef.to(weight), intercept.to(bias)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)


def fit_labels_head(
    layer: nn.Linear, train: HeadData, held_out: HeadData | None, *, seed: int
) -> dict[str, Any]:
    """Sets a layer's weights; the inverse regularisation, one for all labels, is chosen on `held_out` rows.

    train, held_out: features (rows, in_features), labels (rows, labels) 0 or 1. Returns the log: C and mean
    binary cross-entropy.
    """
    strengths = STRENGTHS if held_out is not None else (USUAL_STRENGTH,)
    fitted = [
        _fit_label_weights(train, strength, seed, has_bias=layer.bias is not None) for strength in strengths
    ]
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


def _fit_label_weights(data: HeadData, strength: float, seed: int, *, has_bias: bool) -> Floats:
    """(labels, in_features + 1) weights, the bias last."""
    features, labels = data
    solutions = np.zeros((labels.shape[1], features.shape[1] + 1))
    for line, column in zip(solutions, labels.T, strict=True):
        if column.min() == column.max():
            line[-1] = CERTAIN if column[0] else -CERTAIN
            continue
        model = fit_logistic_regression(
            (features, column.astype(np.int64)), strength, seed, has_bias=has_bias
        )
        weights, biases, _ = compute_raw_weights(model)
        line[:-1], line[-1] = weights[0], biases[0]
    return solutions


def _cross_entropy(weights: Floats, data: HeadData) -> float:
    """The binary cross-entropy in nats, mean over rows and labels."""
    logits = data[0] @ weights[:, :-1].T + weights[:, -1]
    return float(np.mean(np.logaddexp(0.0, logits) - logits * data[1]))


def fit_score_head(layer: nn.Linear, train: HeadData, held_out: HeadData | None) -> dict[str, Any]:
    """Sets a layer's weights by ridge regression; the penalty is chosen on `held_out` rows.

    train, held_out: features (rows, in_features), scores (rows,). Returns the log: alpha and squared errors.
    """
    penalties = PENALTIES if held_out is not None else (USUAL_PENALTY,)
    fitted = [_fit_ridge(train, penalty, has_bias=layer.bias is not None) for penalty in penalties]
    features, scores = held_out or train
    predictions = [model.predict(features.astype(np.float64)) for model in fitted]
    errors = [float(np.mean((predicted - scores) ** 2)) for predicted in predictions]
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


def _fit_ridge(data: HeadData, penalty: float, *, has_bias: bool) -> Any:
    from sklearn.linear_model import Ridge

    features, scores = data
    return Ridge(penalty, fit_intercept=has_bias).fit(features.astype(np.float64), scores.astype(np.float64))


def fit_token_head(
    network: nn.Module,
    layer: nn.Linear,
    train: Labelled,
    held_out: Labelled | None,
    *,
    seed: int,
    classes: Sequence[str],
) -> dict[str, Any]:
    """Sets the layer's weights by logistic regression on at most 20,000 tokens; returns the log."""
    data = compute_token_inputs(network, layer, train)
    chosen = None if held_out is None else compute_token_inputs(network, layer, held_out)
    examples = "train rows" if len(data[1]) < HEAD_ROWS else f"first {HEAD_ROWS:,} tokens of the train rows"
    log = fit_head(layer, data, chosen, seed=seed, classes=classes, examples=examples)
    return {**log, "tokens": len(data[1])}


def compute_token_inputs(network: nn.Module, layer: nn.Linear, data: Labelled) -> LabelledFeatures:
    """The inputs and labels of `layer` for tokens with a label: (tokens, in_features), (tokens,).

    They come from the first rows, until there are 20,000 tokens.
    """
    encoded, row_labels = data
    objective = TokenObjective(shifted=False)
    features: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    layer_inputs: list[torch.Tensor] = []
    device = next(network.parameters()).device
    network.eval()
    hook = layer.register_forward_hook(lambda _module, inputs, _output: layer_inputs.append(inputs[0]))
    with torch.inference_mode(), hook:
        for positions in iter_batches(range(len(row_labels)), 64):
            batch = encoded.batch(positions)
            network(**{name: torch.from_numpy(values).to(device) for name, values in batch.items()})
            batch_labels = torch.from_numpy(row_labels[positions]).to(device)
            token_features, token_labels = objective.flat(layer_inputs.pop(), batch_labels)
            has_label = objective.has_label(token_labels)
            features.append(token_features[has_label].cpu())
            labels.append(token_labels[has_label].cpu())
            if sum(map(len, labels)) >= HEAD_ROWS:
                break
    return torch.cat(features)[:HEAD_ROWS].numpy(), torch.cat(labels)[:HEAD_ROWS].numpy()
