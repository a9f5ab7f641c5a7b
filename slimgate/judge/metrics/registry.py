"""Which metrics there are: this folder's (`METRICS`), those of installed packages, and users' own."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache

from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.directions import score_direction
from slimgate.judge.metrics.answers import mean_score
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.hub import hub_metric
from slimgate.plugins.loading import find_added_path, installed_plugins, load_user_object


def known_metrics() -> tuple[str, ...]:
    """The names of slimgate's own metrics and of those that installed packages add, sorted."""
    return tuple(sorted(_metrics().keys() | installed_plugins("metric").keys()))


def load_metric(name: str) -> Metric:
    """Loads a metric by its name.

    Args:
        name: one of slimgate's, "hub:NAME" for `evaluate.load`, or your own "package.module:object". If
            that is a function, which scores an answer, the metric is its mean.

    Raises:
        SuiteError: with the nearest name if there is none, or with what is wrong with your own.
    """
    if name.startswith("hub:"):
        return hub_metric(name)
    if ":" in name:
        return _load_own(name)
    if path := find_added_path("metric", name, _metrics()):
        metric = _load_own(path)
        if metric.name != name:
            raise SuiteError(f'metric "{name}": {path} calls itself {metric.name}; expected the same name')
        return metric
    if name not in _metrics():
        raise SuiteError(f'"{name}": no such metric{format_suggestion(name, known_metrics())}')
    return _metrics()[name]


def _load_own(name: str) -> Metric:
    metric = load_user_object("metric", name)
    if inspect.isroutine(metric):  # a score of answers, which is called by the same name
        return mean_score(name, higher_is_better=score_direction(name, metric) is not False)
    if not isinstance(metric, Metric):
        raise SuiteError(
            f'metric "{name}": it is of type {type(metric).__name__}, expected a Metric (see '
            "slimgate/judge/metrics/base.py), or a function that [task] scores names"
        )
    if metric.name in _metrics():
        raise SuiteError(
            f'metric "{name}": {metric.name} is a metric of slimgate; give your metric another name'
        )
    return metric


@cache
def _metrics() -> Mapping[str, Metric]:
    """Name -> metric over the folder's files; a file without METRICS (base, confusion) is a helper.

    An import error of a metric file is not caught: a broken file must not vanish from the list.
    """
    package = importlib.import_module("slimgate.judge.metrics")
    metrics: dict[str, Metric] = {}
    for file in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        listed = getattr(importlib.import_module(f"slimgate.judge.metrics.{file}"), "METRICS", {})
        if twice := sorted(metrics.keys() & listed.keys()):
            raise SuiteError(f'metrics/{file}.py: metric "{twice[0]}" is already listed in another file')
        metrics.update(listed)
    return metrics
