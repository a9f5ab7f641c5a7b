"""Makes an `evaluate.Metric` of a slimgate metric, for users of the evaluate library. It needs no network.

from slimgate.judge.metrics.as_evaluate import make_evaluate_metric
make_evaluate_metric("f1_macro").compute(predictions=[0, 1, 1], references=[0, 1, 0])
make_evaluate_metric("roc_auc").compute(prediction_scores=[[0.9, 0.1], [0.2, 0.8]], references=[0, 1])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.registry import load_metric
from slimgate.outcomes import ClassOutcomes

if TYPE_CHECKING:
    import evaluate


def make_evaluate_metric(name: str, *, cache_dir: str | None = None) -> evaluate.Metric:
    """An `evaluate.Metric` whose compute() returns {name: value}.

    references and predictions are class indices; prediction_scores are a row's probabilities of all
    classes. cache_dir: where evaluate stores the rows; default: its usual folder. Raises SuiteError for an
    unknown name; compute() raises MeasureError as the metric does.
    """
    # evaluate loads torch and takes seconds
    import datasets
    import evaluate

    metric = load_metric(name)
    column = "prediction_scores" if metric.needs == "probabilities" else "predictions"
    value = datasets.Value("int64")
    features = {
        column: datasets.Sequence(datasets.Value("float64")) if column == "prediction_scores" else value,
        "references": value,
    }

    class SlimgateMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=f"slimgate's {name}",
                citation="",
                inputs_description="",
                features=datasets.Features(features),
            )

        def _compute(self, **columns: Sequence[Any]) -> dict[str, float]:
            return {name: compute_from_columns(metric, **columns)}

    return SlimgateMetric(cache_dir=cache_dir)


def compute_from_columns(
    metric: Metric,
    *,
    references: Sequence[int],
    predictions: Sequence[int] | None = None,
    prediction_scores: Sequence[Sequence[float]] | None = None,
) -> float:
    """The value of a metric on the columns that evaluate passes. Predictions default to the highest score.

    references, predictions: (rows,) class indices. prediction_scores: (rows, classes). Raises MeasureError
    for another shape, or without predictions and scores.
    """
    labels = np.asarray(references, dtype=np.int64)
    scores = None if prediction_scores is None else np.asarray(prediction_scores, dtype=np.float64)
    if scores is not None and scores.ndim != 2:
        raise MeasureError(f"prediction_scores have shape {scores.shape}, expected (rows, classes)")
    if predictions is not None:
        predicted = np.asarray(predictions, dtype=np.int64)
    elif scores is not None:
        predicted = scores.argmax(axis=1)
    else:
        raise MeasureError(f"{metric.name} needs predictions or prediction_scores")
    highest = max(1, labels.max(initial=0), predicted.max(initial=0))
    classes = int(highest) + 1 if scores is None else scores.shape[1]
    outcomes = ClassOutcomes(
        ids=np.arange(len(labels)).astype(np.str_),
        labels=labels,
        predictions=predicted,
        classes=tuple(map(str, range(classes))),
        probabilities=scores,
    )
    return float(metric.statistic(outcomes, np.ones(len(labels))))
