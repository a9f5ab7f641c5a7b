"""A metric by `evaluate.load`: "hub:NAME" in a suite is a metric of the hub, which is reported but not gated.

Your own script is a metric by its dotted path:

    # my_metrics.py, next to the suite: metrics = ["my_metrics:KAPPA"]
    from slimgate.judge.metrics.hub import make_hub_metric
    KAPPA = make_hub_metric("kappa", path="metrics/kappa")     # a folder with kappa.py

It is computed once for each model, from class indices. A call of evaluate takes some 20 ms, so the metric is
not resampled and has no interval. evaluate runs the metric's script: name only scripts that you trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, nan

import numpy as np

from slimgate.errors import MeasureError, format_error
from slimgate.judge.directions import find_known_direction
from slimgate.judge.metrics.base import Metric, check_weights
from slimgate.outcomes import ClassOutcomes, Floats


def make_hub_metric(name: str, *, path: str | None = None) -> Metric:
    """The metric that `evaluate.load(path)` gives; `path` defaults to the name without "hub:".

    It is better when higher if its name is not known, because it has no budget. Nothing is loaded until the
    statistic is called.
    """
    script = path or name.removeprefix("hub:")

    def statistic(outcomes: ClassOutcomes, weights: Floats) -> Floats:
        check_weights(outcomes, weights)
        if not (weights == 1).all():
            raise MeasureError(f"{name} is computed once, over all rows: it cannot be resampled")
        return np.asarray(_compute_value(name, script, outcomes))

    return Metric(
        name=name,
        higher_is_better=find_known_direction(name) is not False,
        value_range=(-float("inf"), float("inf")),
        needs="prediction",
        statistic=statistic,
        resampled=False,
    )


def _compute_value(name: str, script: str, outcomes: ClassOutcomes) -> float:
    import evaluate

    try:
        results = evaluate.load(script, keep_in_memory=True).compute(
            predictions=outcomes.predictions.tolist(), references=outcomes.labels.tolist()
        )
    except (ConnectionError, FileNotFoundError) as error:
        raise MeasureError(
            f"{name}: {script} is neither a folder with its script nor in the local cache of the hub, and "
            "the hub cannot be reached; load it once with evaluate.load, or name a folder"
        ) from error
    except Exception as error:  # the script may raise anything; the cause stays chained
        raise MeasureError(f"{name}: {format_error(error)}") from error
    return _select_number(name, script, results)


def _select_number(name: str, script: str, results: Mapping[str, object] | None) -> float:
    """The value under the metric's name, or the only value."""
    values = dict(results or {})
    key = script.rstrip("/").rpartition("/")[2]
    value = values.get(key, next(iter(values.values())) if len(values) == 1 else nan)
    if not (isinstance(value, int | float | np.number) and isfinite(value)):
        raise MeasureError(
            f"{name} gave {values}, expected one finite number, called {key} if there are several"
        )
    return float(value)
