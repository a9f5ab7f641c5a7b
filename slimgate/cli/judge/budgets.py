"""Reads the budgets of `slimgate judge`, from a file with [budgets] or options such as --drop-points."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimgate.cli.judge.arguments import name_target
from slimgate.errors import SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.logs.budgets import list_limits_by_metric
from slimgate.logs.file_budgets import (
    PREDICTIONS,
    FileBudgets,
    FileKind,
    read_budget_tables,
    read_file_budgets,
)
from slimgate.logs.predictions.judge import DEFAULT_METRIC
from slimgate.suite.budgets import resolve_budgets


def read_budgets_of_targets(
    options: argparse.Namespace, kind: FileKind, targets: Mapping[str, Path]
) -> Mapping[str, FileBudgets]:
    """The budgets in the file of --budgets, by target; empty without that option. targets: by name.

    Raises SuiteError for an invalid file, if a budget is given by an option too, and for a table in
    [budgets.variants] that several targets could mean.
    """
    if options.budgets is None:
        return dict.fromkeys(targets, FileBudgets())
    flags = ("drop_points", "equivalent_points", "pooled_points", "slice_points")
    for flag in (*flags, "length_ratio_max", "length_ratio_min"):
        if getattr(options, flag) is not None:
            raise SuiteError(f"--{flag.replace('_', '-')} and --budgets were given, expected one of them")
    tables = read_budget_tables(options.budgets)
    _check_names(tables, targets, str(options.budgets))
    return {name: read_file_budgets(tables, kind, name, str(options.budgets)) for name in targets}


def _check_names(tables: Mapping[str, Any], targets: Mapping[str, Path], shown: str) -> None:
    """Raises SuiteError for a table in [budgets.variants] with a name that several targets share."""
    budgets = tables.get("budgets")
    variants = budgets.get("variants") if isinstance(budgets, Mapping) else None
    if not isinstance(variants, Mapping):
        return
    for name, path in targets.items():
        shared = name_target(path)
        table = next((table for table in (shared, name) if table in variants), None)
        paths = [str(path) for path in targets.values() if name_target(path) == shared]
        if len(paths) > 1 and name != shared and table is not None:
            raise SuiteError(
                f"{shown} [budgets.variants.{table}]: {' and '.join(paths)} have the same name {shared}, so "
                "the table does not say which it is for; give them different names, or judge them one by one"
            )


def read_prediction_budgets(
    options: argparse.Namespace, targets: Mapping[str, Path]
) -> Mapping[str, FileBudgets]:
    """The budgets on prediction files, by target. Raises SuiteError for an option that is not valid."""
    metrics: list[str] = options.metric or []
    for name in metrics:
        load_metric(name)
    points, equivalent = options.drop_points or [], options.equivalent_points or []
    tables = list_limits_by_metric(metrics or [DEFAULT_METRIC], points, equivalent)
    if options.budgets is not None:
        return read_budgets_of_targets(options, PREDICTIONS, targets)
    flag = "--drop-points" if points else "--equivalent-points"
    limits = resolve_budgets({"budgets": tables}, ("",), flag)[""]
    return dict.fromkeys(targets, FileBudgets(limits=limits))
