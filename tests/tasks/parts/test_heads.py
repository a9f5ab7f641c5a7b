"""slimgate.tasks.parts.heads: a fresh head decides as the logistic regression on the classifier's own inputs
does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from fixtures.models.architectures import write_tiny
from fixtures.models.building import MEAN, PARAMS, load_tiny, make_tiny_context
from slimgate.errors import DataError
from slimgate.models.blocks import find_output_linear
from slimgate.models.predict import predict_scores
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks import text_classification
from slimgate.tasks.parts import text_task
from slimgate.tasks.parts.heads import compute_classifier_inputs, fit_head


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize(
    ("architecture", "params"),
    [
        ("bert", PARAMS),
        ("distilbert", PARAMS),
        ("roberta", PARAMS),
        ("electra", PARAMS),
        ("bert", MEAN),
        ("gpt2", PARAMS),
        ("llama", PARAMS),
    ],
    ids=["bert", "distilbert", "roberta", "electra", "bert-mean", "gpt2", "llama"],
)
def test_the_network_predicts_as_the_regression_of_its_head(
    tmp_path: Path, architecture: str, params: text_classification.Params
) -> None:
    context = make_tiny_context(tmp_path, train=60, selection=20, params=params)
    folder = write_tiny(
        tmp_path / "hub", architecture, initializer_range=0.3
    )  # features apart from each other
    model = load_tiny(folder, context)
    encoded = text_classification.task.encode_rows(params, context.rows("train"), model.tokenizer)
    labels = text_classification.task.label_indices(params, context.rows("train"), context.facts)
    layer = find_output_linear(model.network, 2)
    features = compute_classifier_inputs(model.network, layer, encoded)
    assert features.shape == (60, 32)
    regression = regression_of(context.log["C"], bias=layer.bias is not None).fit(features, labels)
    scores = predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=7)
    margins = regression.decision_function(features)
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], margins, atol=2e-3 * max(1.0, abs(margins).max()))
    clear = abs(margins) > 0.01
    assert (scores.argmax(1) == regression.predict(features))[clear].all()
    assert clear.sum() > 50
    assert context.log["rows"] == 60
    assert 0 <= context.log["accuracy_selection"] <= 1


def features_of(centres: list[list[float]], labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    where = np.asarray(centres, dtype=np.float32)[labels]
    return where + rng.normal(0, 0.1, where.shape).astype(np.float32), np.asarray(labels, dtype=np.int64)


def regression_of(strength: float, *, bias: bool = True) -> Any:
    """As scikit-learn's users write it."""
    regression = LogisticRegression(C=strength, max_iter=300, tol=1e-3, fit_intercept=bias)
    return make_pipeline(StandardScaler(with_mean=bias), regression)


CENTRES = [[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0]]


def test_several_classes_are_separated_as_by_the_regression() -> None:
    data = features_of(CENTRES, [0, 1, 2] * 10)
    layer = nn.Linear(2, 3)
    log = fit_head(layer, data, data, seed=0)
    regression = regression_of(log["C"]).fit(*data)
    with torch.no_grad():
        scores = layer(torch.from_numpy(data[0])).numpy()
    np.testing.assert_allclose(scores, regression.decision_function(data[0]), atol=1e-4)
    assert log["accuracy_selection"] == 1.0


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_class_without_train_rows_is_not_predicted(bias: bool) -> None:
    data = features_of(CENTRES, [0, 2] * 10)
    layer = nn.Linear(2, 3, bias=bias)
    log = fit_head(layer, data, None, seed=0)
    with torch.no_grad():
        scores = layer(torch.from_numpy(data[0]))
    assert scores.argmax(1).tolist() == data[1].tolist()
    assert log["accuracy_train"] == 1.0
    assert log["C"] == 0.1


def test_the_strength_that_is_best_on_held_out_rows_is_taken() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 5)).astype(np.float32)
    labels = (features[:, 0] + 0.3 * rng.normal(size=200) > 0).astype(np.int64)
    train, held_out = (features[:100], labels[:100]), (features[100:], labels[100:])
    log = fit_head(nn.Linear(5, 2), train, held_out, seed=0)
    scores = {c: regression_of(c).fit(*train).score(*held_out) for c in (0.01, 0.1, 1.0)}
    assert log["accuracy_selection"] == round(max(scores.values()), 4)
    assert scores[log["C"]] == max(scores.values())


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("size", [1e-32, 1e-9], ids=["1e-32", "1e-9"])
def test_a_feature_that_hardly_varies_has_no_weight(size: float, bias: bool) -> None:
    """all-MiniLM-L6-v2 has such features: weights of 1e30 made all gradients of its fine-tuning overflow."""
    features, labels = features_of(CENTRES, [0, 1, 2] * 10)
    hardly = np.random.default_rng(1).normal(-size, size, (len(features), 1)).astype(np.float32)
    alone, layer = nn.Linear(2, 3, bias=bias), nn.Linear(3, 3, bias=bias)
    fit_head(alone, (features, labels), None, seed=0)
    fit_head(layer, (np.hstack([features, hardly]), labels), None, seed=0)
    torch.testing.assert_close(layer.weight[:, :2], alone.weight)
    assert layer.weight[:, 2].abs().max() < 1e-3


def test_features_are_those_of_the_token_whose_logits_count(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path)
    model = load_tiny(write_tiny(tmp_path / "hub", "gpt2"), context)
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    layer = find_output_linear(model.network, 2)
    together = compute_classifier_inputs(model.network, layer, encoded)
    for row in (0, 1, 2):
        alone = {k: torch.from_numpy(v) for k, v in encoded.batch([row]).items()}
        with torch.no_grad():
            last = model.network.transformer(**alone).last_hidden_state[0, -1]
        np.testing.assert_allclose(together[row], last.numpy(), atol=1e-5)


def test_features_in_bfloat16_are_nearly_those_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_tiny_context(tmp_path)
    model = load_tiny(write_tiny(tmp_path / "hub", "bert", initializer_range=0.3), context)
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    layer = find_output_linear(model.network, 2)
    features = []
    for native in (True, False):
        monkeypatch.setattr("slimgate.models.precision._has_cpu_bf16", lambda native=native: native)
        features.append(compute_classifier_inputs(model.network, layer, encoded, precision="auto"))
    errors = np.abs(features[0] - features[1])
    assert 0 < errors.mean() < 0.05 * features[1].std()


def test_features_of_a_token_stay_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgate.models.precision._has_cpu_bf16", lambda: True)
    context = make_tiny_context(tmp_path)
    model = load_tiny(write_tiny(tmp_path / "hub", "gpt2", initializer_range=0.3), context)
    encoded = text_classification.task.encode_rows(PARAMS, context.rows("train"), model.tokenizer)
    layer = find_output_linear(model.network, 2)
    features = [
        compute_classifier_inputs(model.network, layer, encoded, precision=precision)
        for precision in ("auto", "float32")
    ]
    np.testing.assert_array_equal(*features)


def test_only_so_many_rows_are_used_for_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_task, "HEAD_ROWS", 20)
    context = make_tiny_context(tmp_path, train=48)
    load_tiny(write_tiny(tmp_path / "hub", "bert"), context)
    assert context.log["rows"] == 20


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"classes": ("neg", "pos")}, "the train rows have only the class pos, and a new head needs two"),
        ({"examples": "first 20,000 tokens of the train rows"}, "first 20,000 tokens of the train rows have"),
    ],
    ids=["named", "tokens"],
)
def test_rows_of_one_class_are_an_error(more: dict[str, Any], message: str) -> None:
    features = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    with pytest.raises(DataError, match=message):
        fit_head(nn.Linear(8, 2), (features, np.ones(50, dtype=np.int64)), None, seed=0, **more)
