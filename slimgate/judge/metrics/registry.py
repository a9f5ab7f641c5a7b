"""Finds metrics by name: those of this folder (`METRICS`), of installed packages, and of users."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from math import isfinite, nan

import numpy as np

from slimgate.errors import MeasureError, SuiteError, format_error, format_suggestion
from slimgate.judge.metrics.answers import make_mean_score
from slimgate.judge.metrics.base import Metric, check_weights
from slimgate.judge.named_scores import find_known_direction, find_score_direction, is_range
from slimgate.outcomes import ClassOutcomes, Floats
from slimgate.plugins.loading import find_added_path, list_installed_plugins, load_user_object


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


def list_known_metrics() -> tuple[str, ...]:
    """The names of slimgate's own metrics and of those that installed packages add, sorted."""
    return tuple(sorted(_import_metrics().keys() | list_installed_plugins("metric").keys()))


def load_metric(name: str) -> Metric:
    """Loads a metric by its name.

    Args:
        name: a name in `list_known_metrics()`, "hub:NAME" for `evaluate.load`, or "package.module:object" for
            your own metric. If your object is a function that scores an answer, the metric is its mean.

    Raises:
        SuiteError: if no metric has this name, or if your own object cannot be a metric.
    """
    if name.startswith("hub:"):
        return make_hub_metric(name)
    if ":" in name:
        return _load_user_metric(name)
    if path := find_added_path("metric", name, _import_metrics()):
        metric = _load_user_metric(path)
        if metric.name != name:
            raise SuiteError(f'metric "{name}": {path} is named {metric.name}; expected the same name')
        return metric
    if name not in _import_metrics():
        raise SuiteError(f'"{name}": no such metric{suggest_metric(name, list_known_metrics())}')
    return _import_metrics()[name]


def suggest_metric(name: str, known: Iterable[str]) -> str:
    """How a user's own metric is named if the name has a dot; else the nearest of the known names, or all."""
    module, _, attribute = name.rpartition(".")
    return (
        f'. Did you mean "{module}:{attribute}"?' if module and attribute else format_suggestion(name, known)
    )


def _load_user_metric(name: str) -> Metric:
    metric = load_user_object("metric", name)
    if inspect.isroutine(metric):  # a score of answers; its mean has the same name
        return make_mean_score(name, higher_is_better=find_score_direction(name, metric) is not False)
    if not isinstance(metric, Metric):
        raise SuiteError(
            f'metric "{name}": it is of type {type(metric).__name__}, expected a Metric (see '
            "slimgate/judge/metrics/base.py), or a function that [task] scores names"
        )
    _check_declared(name, metric)
    if metric.name in _import_metrics():
        raise SuiteError(
            f'metric "{name}": {metric.name} is a metric of slimgate; give your metric another name'
        )
    return metric


def _check_declared(name: str, metric: Metric) -> None:
    """Raises SuiteError for a declaration of a wrong type: the text "no" would count as True."""
    if not isinstance(metric.name, str) or not metric.name.strip():
        raise SuiteError(f'metric "{name}": its name is {metric.name!r}, expected a text')
    if not isinstance(metric.higher_is_better, bool):
        stated = metric.higher_is_better
        raise SuiteError(f'metric "{name}": higher_is_better is {stated!r}, expected True or False')
    if not is_range(metric.value_range):
        raise SuiteError(
            f'metric "{name}": value_range is {metric.value_range!r}, expected its lowest and its highest '
            "value, such as (0.0, 1.0)"
        )


@cache
def _import_metrics() -> Mapping[str, Metric]:
    """The metrics of the files in this folder, by name. A file without METRICS (base, confusion) is a helper.

    An import error of a file is not caught: otherwise its metrics would be missing without an error.
    """
    package = importlib.import_module("slimgate.judge.metrics")
    metrics: dict[str, Metric] = {}
    for file in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        file_metrics = getattr(importlib.import_module(f"slimgate.judge.metrics.{file}"), "METRICS", {})
        if duplicates := sorted(metrics.keys() & file_metrics.keys()):
            raise SuiteError(f'metrics/{file}.py: metric "{duplicates[0]}" is already listed in another file')
        metrics.update(file_metrics)
    return metrics
