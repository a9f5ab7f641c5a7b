"""The task multi_label: sets of labels in three forms, ready-made and fresh heads, outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny
from fixtures.models.task_rows import TOPICS, make_task_context
from slimgate.errors import DataError, SuiteError
from slimgate.models.blocks import find_output_linear
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.tasks import multi_label as task
from slimgate.tasks.parts.heads import compute_classifier_inputs, fit_labels_head

ABC = TaskFacts(("a", "b", "c"))


def params_of(**options: Any) -> task.Params:
    return task.Params.model_validate({"text": ("text",), "label": "topics", **options})


def rows_of(**columns: list[Any]) -> Rows:
    rows = len(next(iter(columns.values())))
    return Rows(pa.table({"id": [f"r{i}" for i in range(rows)], **columns}))


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (rows_of(topics=[["b", "a"], [], ["c"]]), {}),
        (rows_of(topics=["b, a", "", "c"]), {}),
        (rows_of(topics=["b|a", "", "c"]), {"separator": "|"}),
        (rows_of(topics=[[1, 0], [], [2]]), {"names": ("a", "b", "c")}),
        (rows_of(topics=["1, a", "", "c"]), {"names": ("a", "b", "c")}),
        (rows_of(a=[1, 0, 0], b=["1", "0", "0"], c=[False, False, True]), {"label": ("a", "b", "c")}),
    ],
    ids=["lists", "joined", "another separator", "numbers", "a number or a name", "a column each"],
)
def test_labels_of_every_form_become_the_same(rows: Rows, options: dict[str, Any]) -> None:
    params = params_of(**options)
    assert task.task.facts(params, {"train": rows}) == ABC
    targets = task.task.targets(params, rows, ABC, encoded=None)  # type: ignore[arg-type]
    assert targets.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_numbers_are_numbers_even_if_a_name_has_the_same_digits() -> None:
    rows = rows_of(topics=[[0], [1, 2], []])
    params = params_of(names=("1", "2", "3"))
    assert task.task.facts(params, {"train": rows}).classes == ("1", "2", "3")
    targets = task.task.targets(params, rows, TaskFacts(("1", "2", "3")), encoded=None)  # type: ignore[arg-type]
    assert targets.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (rows_of(topics=["a", None]), {}, "topics, row r1: null, expected labels"),
        (
            rows_of(topics=[[0], [3]]),
            {"names": ("a", "b")},
            "row r1: label 3, but .* names has only 2 entries, counted from 0",
        ),
        (
            rows_of(topics=["2015", "1"]),
            {"names": ("0", "2")},
            "row r0: label 2015, but .* names has only 2 entries",
        ),
        (
            rows_of(topics=["1"]),
            {"names": ("1", "2")},
            'label 1 is a name in .* names and also the number of "2"; leave names out',
        ),
        (rows_of(a=["1", "yes"]), {"label": ("a",)}, "column a, row r1: 'yes', expected 0 or 1"),
        (rows_of(topics=["", ""]), {}, "the label columns topics contain no label"),
        (rows_of(topics=[1.5, 2.0]), {}, "row r0: 1.5, expected a list of labels, or names"),
        (rows_of(topics=["Spam", "spam, b"]), {}, 'topics" has the labels "Spam" and "spam", which differ'),
    ],
    ids=[
        "null",
        "beyond the names",
        "a year beyond",
        "name or number",
        "no 0 or 1",
        "none at all",
        "numbers",
        "two spellings",
    ],
)
def test_labels_that_cannot_be_read_are_named(rows: Rows, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        task.task.facts(params_of(**options), {"train": rows})


def test_a_fresh_head_is_one_logistic_regression_a_label(tmp_path: Path) -> None:
    context = make_task_context(tmp_path / "rows", "multi_label")
    model = load_tiny(write_tiny(tmp_path / "hub", "bert", initializer_range=0.2), context)
    rows = context.rows("train")
    encoded = task.task.encode_rows(context.task_params, rows, model.tokenizer)
    features = compute_classifier_inputs(model.network, find_output_linear(model.network, 3), encoded)
    labels = task.task.targets(context.task_params, rows, context.facts, encoded)
    with torch.inference_mode():
        batch = {k: torch.from_numpy(v) for k, v in encoded.batch(range(len(rows))).items()}
        probabilities = model.network(**batch).logits.sigmoid().numpy()
    for k in range(3):
        regression = LogisticRegression(C=context.log["C"], max_iter=300, tol=1e-3, random_state=0)
        single = make_pipeline(StandardScaler(), regression)
        expected = single.fit(features, labels[:, k].astype(int)).predict_proba(features)[:, 1]
        np.testing.assert_allclose(probabilities[:, k], expected, atol=1e-3)
    assert context.facts.classes == tuple(sorted(TOPICS))
    assert model.config.problem_type == "multi_label_classification"


def test_a_label_that_no_train_row_has_is_never_shown() -> None:
    layer = torch.nn.Linear(2, 3)
    features = np.asarray([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    labels = np.asarray([[0, 1, 0], [0, 1, 1]], dtype=np.float32)
    fit_labels_head(layer, (features, labels), None, seed=0)
    assert layer.bias.tolist()[:2] == [-10.0, 10.0]
    assert layer.weight[:2].abs().sum() == 0


def test_a_ready_made_models_outputs_are_put_in_the_datas_order(tmp_path: Path) -> None:
    hub = write_tiny(tmp_path / "hub", "bert", labels=("plot", "film", "actor"), initializer_range=0.2)
    context = make_task_context(tmp_path / "rows", "multi_label")
    load_tiny(hub, context)
    assert context.log == {"head": "the model's own", "output_order": [2, 1, 0]}  # actor, film, plot
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "x", "1": "y"}}
    with pytest.raises(SuiteError, match="Model: 0=x, 1=y; data: 0=a, 1=b, 2=c"):
        task.task.check_model(params_of(), ModelRef("m"), config, ABC)


def test_outcomes_tell_the_labels_from_the_threshold_on() -> None:
    rows = rows_of(topics=[["a"], ["a", "b"], []])
    scores = np.log(np.asarray([[4.0, 0.5, 0.1], [3.0, 0.5, 0.1], [0.1, 0.1, 9.0]])).astype(np.float32)
    outcomes = task.task.outcomes(ABC, rows, scores, params_of(), None)
    assert outcomes.answers is not None
    assert outcomes.answers.tolist() == ["a", "a", "c"]
    assert outcomes.column("labels_wrong").tolist() == [0, 1, 1]
    assert outcomes.right is not None
    assert outcomes.right.tolist() == [1, 0, 0]
    # odds of 0.5 are a probability of one third
    low = task.task.outcomes(ABC, rows, scores, params_of(threshold=0.3), None)
    assert low.answers is not None
    assert low.answers.tolist() == ["a, b", "a, b", "c"]
    none = task.task.outcomes(ABC, rows, scores, params_of(threshold=0.95), None)
    assert none.answers is not None
    assert none.answers.tolist() == ["(none)"] * 3


def test_spoiled_rows_have_every_label_wrong() -> None:
    rows = rows_of(topics=[["a"], ["a", "b"]])
    outcomes = task.task.outcomes(ABC, rows, np.full((2, 3), -1.0, np.float32), params_of(), None)
    worse = task.task.with_planted_fault(outcomes, np.array([0]))
    assert worse.column("labels_wrong").tolist() == [3, 2]
    assert [worse.column(f"said:{name}")[0] for name in "abc"] == [0, 1, 1]
