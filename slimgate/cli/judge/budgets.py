"""Reads the metrics and budgets of `slimgate judge`: --metric and --drop-points, or a file with [budgets]."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from slimgate.cli.judge.limits import refuse_limits
from slimgate.errors import SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.logs.budgets import limits_of_each
from slimgate.logs.predictions.budgets import DEFAULT_METRIC, PredictionBudgets, read_prediction_budgets
from slimgate.suite.budgets import resolve_budgets
from slimgate.suite.file import read_suite_text


def read_request(options: argparse.Namespace) -> PredictionBudgets:
    """The metrics and budgets of a command line. Raises SuiteError for an option that is not valid."""
    stated: list[str] = options.metric or []
    for name in stated:
        load_metric(name)
        if stated.count(name) > 1:
            raise SuiteError(f"--metric {name} came twice, expected each metric once")
    if options.budgets is not None:
        refuse_limits(options)
        data = read_suite_text(options.budgets, str(options.budgets)).data
        return read_prediction_budgets(data, options.variant.stem, str(options.budgets), stated)
    return _from_options(
        stated or [DEFAULT_METRIC], options.drop_points or [], options.equivalent_points or []
    )


def _from_options(
    metrics: Sequence[str], points: Sequence[float], equivalent: Sequence[float]
) -> PredictionBudgets:
    tables = limits_of_each(metrics, points, equivalent)
    flag = "--drop-points" if points else "--equivalent-points"
    budgets = resolve_budgets({"budgets": tables}, ("",), flag)
    return PredictionBudgets(tuple(metrics), budgets[""].quality)
