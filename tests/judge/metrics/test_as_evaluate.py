from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.class_metrics import CLASS_METRICS

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.as_evaluate import make_evaluate_metric
from slimgate.outcomes import ClassOutcomes

pytest.importorskip("datasets")

# evaluate and what it imports deprecate on their own account
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a metric of ours must not need the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_the_wrapper_gives_the_metrics_own_value(
    random_outcomes: Callable[..., ClassOutcomes], tmp_path: Path, name: str
) -> None:
    metric = load_metric(name)
    outcomes = random_outcomes(2 if metric.binary_only else 3)
    columns = (
        {"prediction_scores": outcomes.probabilities}
        if metric.needs == "probabilities"
        else {"predictions": outcomes.predictions}
    )
    wrapped = make_evaluate_metric(name, cache_dir=str(tmp_path))
    expected = float(metric.statistic(outcomes, np.ones(len(outcomes))))
    assert wrapped.compute(references=outcomes.labels, **columns) == {
        name: pytest.approx(expected, abs=1e-12)
    }


def test_a_wrapper_computes_twice_and_from_batches(tmp_path: Path) -> None:
    wrapped = make_evaluate_metric("accuracy", cache_dir=str(tmp_path))
    assert wrapped.compute(predictions=[0, 1], references=[0, 0]) == {"accuracy": 0.5}
    wrapped.add_batch(predictions=[0, 1], references=[0, 1])
    wrapped.add(prediction=1, reference=0)
    assert wrapped.compute() == {"accuracy": pytest.approx(2 / 3)}


def test_a_wrapper_raises_as_the_metric_does(tmp_path: Path) -> None:
    wrapped = make_evaluate_metric("f1", cache_dir=str(tmp_path))
    with pytest.raises(MeasureError, match="two classes"):
        wrapped.compute(predictions=[0, 1, 2], references=[0, 1, 2])


def test_an_unknown_name_is_a_suite_error() -> None:
    with pytest.raises(SuiteError, match="Did you mean roc_auc"):
        make_evaluate_metric("rocauc")
