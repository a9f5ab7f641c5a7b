"""`[task] positive`: asked for before a model loads, and in the outcomes of the task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.tiny_suite import ONE_FILE

from fixtures.models.tiny import write_tiny_bert
from slimgate.errors import DataError
from slimgate.plugins.loading import load
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.run.rows import PreparedRows, prepare_rows
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

MODELS = """\
{task}
[teacher]
model = "model"
[variants]
int8 = {{ steps = [{{ int8_dynamic = {{}} }}] }}
[budgets]
{metric} = {{ drop_points = 2.0 }}
[measure]
workloads = [{{ batch = 1 }}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite")
    write_tiny_bert(path / "model")
    rows = [f"text number {row},{'fraud' if row % 4 == 0 else 'ok'}" for row in range(240)]
    (path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def prepared(folder: Path, metric: str, task: str = "") -> PreparedRows:
    path = folder / "suite.toml"
    path.write_text(ONE_FILE + MODELS.format(metric=metric, task=task))
    return prepare_rows(load_suite(path, "suite.toml"), Store(folder / "store"))


@pytest.mark.parametrize("metric", ["f1", "recall", "precision", "pr_auc"])
def test_it_is_asked_for_with_the_gate_rows_of_both(folder: Path, metric: str) -> None:
    with pytest.raises(
        DataError, match=rf'{metric} needs the positive .* "fraud" \(25 rows\) and "ok" \(75 rows\)'
    ):
        prepared(folder, metric)
    assert prepared(folder, metric, 'positive = "fraud"').facts.classes == ("fraud", "ok")


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "mcc", "roc_auc"])
def test_other_metrics_need_none(folder: Path, metric: str) -> None:
    assert prepared(folder, metric).facts.classes == ("fraud", "ok")


def test_a_label_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r'positive = "scam": no such label'):
        prepared(folder, "f1", 'positive = "scam"')


def test_outcomes_of_the_task_have_it() -> None:
    task = load("task", "text_classification")
    params = task.Params.model_validate({"text": ("text",), "label": "label", "positive": "fraud"})
    rows = Rows(pa.table({"id": ["a", "b"], "text": ["x", "y"], "label": ["fraud", "ok"]}))
    scores = np.array([[2.0, 0.0], [0.0, 2.0]], np.float32)
    outcomes = task.outcomes(TaskFacts(("fraud", "ok")), rows, scores, params, None)
    assert (outcomes.positive, outcomes.strays) == ("fraud", 0)
