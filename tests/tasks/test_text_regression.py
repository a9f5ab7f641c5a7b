"""The task text_regression: scores of rows, models with one output, fresh heads by ridge regression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import Ridge

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny
from fixtures.models.task_rows import make_task_context
from slimgate.errors import DataError
from slimgate.judge.metrics import load_metric
from slimgate.models.blocks import find_output_linear
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.run.selftest import plant_fault
from slimgate.tasks import text_regression as task
from slimgate.tasks.parts.heads import compute_classifier_inputs

PARAMS = task.Params(text=("text",), score="score")


def rows_of(scores: list[Any]) -> Rows:
    return Rows(pa.table({"id": [f"r{i}" for i in range(len(scores))], "score": scores}))


@pytest.mark.parametrize(
    "scores", [[1.5, -2.0], ["1.5", "-2"], [3, 4]], ids=["floats", "text of a csv", "whole numbers"]
)
def test_scores_are_numbers_however_they_are_written(scores: list[Any]) -> None:
    assert task.read_gold_scores(PARAMS, rows_of(scores)).tolist() == [float(value) for value in scores]
    assert task.task.facts(PARAMS, {"train": rows_of(scores)}) == TaskFacts(())


@pytest.mark.parametrize("bad", [None, "high", float("nan")], ids=["null", "word", "nan"])
def test_a_row_without_a_number_is_named(bad: Any) -> None:
    rows = rows_of(["1", bad] if isinstance(bad, str) else [1.0, bad])
    with pytest.raises(DataError, match=r'column "score" has no finite number in 1 of 2 rows \(first: r1'):
        task.task.facts(PARAMS, {"train": rows})


def test_withheld_scores_of_the_hub_are_no_labels() -> None:
    with pytest.raises(DataError, match="split gate is unlabelled"):
        task.task.facts(PARAMS, {"gate": rows_of([-1.0, -1.0, -1.0])})
    task.task.facts(PARAMS, {"gate": rows_of([-1.0, 0.0, 1.0])})


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_fresh_head_is_the_ridge_regression_on_its_inputs(tmp_path: Path, architecture: str) -> None:
    context = make_task_context(tmp_path / "rows", "text_regression")
    model = load_tiny(write_tiny(tmp_path / "hub", architecture), context)
    rows = context.rows("train")
    encoded = task.task.encode_rows(context.task_params, rows, model.tokenizer)
    features = compute_classifier_inputs(model.network, find_output_linear(model.network, 1), encoded).astype(
        np.float64
    )
    has_bias = find_output_linear(model.network, 1).bias is not None
    ridge = Ridge(context.log["alpha"], fit_intercept=has_bias)
    expected = ridge.fit(features, task.read_gold_scores(context.task_params, rows)).predict(features)
    with torch.inference_mode():
        batch = {k: torch.from_numpy(v) for k, v in encoded.batch(range(len(rows))).items()}
        scores = model.network(**batch).logits[:, 0].numpy()
    np.testing.assert_allclose(scores, expected, atol=2e-3)
    assert model.config.num_labels == 1
    assert model.config.problem_type == "regression"


def test_a_head_of_one_output_is_kept_and_one_of_two_is_fresh(tmp_path: Path) -> None:
    single = write_tiny(tmp_path / "one", "bert", labels=("LABEL_0",))
    two = write_tiny(tmp_path / "two", "bert", labels=("no", "yes"))
    context = make_task_context(tmp_path / "rows", "text_regression")
    load_tiny(single, context)
    assert context.log == {"head": "the model's own"}
    fresh = make_task_context(tmp_path / "rows", "text_regression")
    load_tiny(two, fresh)
    assert fresh.log["head"] == "ridge regression"
    assert "classifier.weight" in fresh.log["fresh_weights"]
    head = {"architectures": ["BertForSequenceClassification"]}
    assert task.task.load_reads(PARAMS, {**head, "id2label": {"0": "LABEL_0"}}) == ()
    assert task.task.load_reads(PARAMS, {**head, "id2label": {"0": "no", "1": "yes"}}) == (
        "train",
        "selection",
    )


def test_spoiled_rows_are_worse_also_where_scores_are_middling() -> None:
    gold = [0.0, 5.0, *[2.5] * 10]
    outcomes = task.task.outcomes(
        TaskFacts(()), rows_of(gold), np.asarray(gold)[:, None] + 0.25, PARAMS, None
    )
    damaged = plant_fault(outcomes, load_metric("mae"), 0.5, seed=0, damage_rows=task.task.with_planted_fault)
    errors = np.abs(damaged.column("score") - gold)
    assert errors.mean() >= 0.75


def test_outcomes_hold_gold_and_score_spoiled_rows_the_far_end() -> None:
    scores = np.asarray([[0.5], [4.0], [2.0]], dtype=np.float32)
    outcomes = task.task.outcomes(TaskFacts(()), rows_of([0.0, 5.0, 3.0]), scores, PARAMS, None)
    assert outcomes.column("gold").tolist() == [0.0, 5.0, 3.0]
    assert outcomes.column("score").tolist() == [0.5, 4.0, 2.0]
    assert outcomes.right is None
    assert task.task.with_planted_fault(outcomes, np.array([0, 2])).column("score").tolist() == [
        5.0,
        4.0,
        0.0,
    ]
