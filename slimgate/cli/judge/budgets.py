"""What `slimgate judge` shall measure and gate: from --metric and --drop-points, or a file of [budgets]."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from slimgate._system.toml import format_value
from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.behaviour import BehaviourBudgets
from slimgate.judge.metrics import load_metric
from slimgate.judge.verdict import QualityBudget
from slimgate.logs.budgets import limits_of_each
from slimgate.suite.budgets import resolve_budgets
from slimgate.suite.file import read_suite_text
from slimgate.suite.variant_budgets import VariantBudgets

DEFAULT_METRIC = "accuracy"
_NOT_OF_ONE = 'budgets with over = "builds" are not judged from the predictions of one build'


@dataclass(frozen=True)
class Asked:
    """metrics: what to measure, in order. budgets: by metric, what gates; behaviour: on flips and slices.

    warnings: what is not judged, and why, where the file says so.
    """

    metrics: tuple[str, ...]
    budgets: Mapping[str, tuple[QualityBudget, ...]]
    behaviour: BehaviourBudgets = field(default_factory=BehaviourBudgets)
    warnings: tuple[str, ...] = ()


def read_request(options: argparse.Namespace) -> Asked:
    """The metrics and budgets of a command line. Raises SuiteError for what cannot be judged."""
    stated: list[str] = options.metric or []
    for name in stated:
        load_metric(name)
        if stated.count(name) > 1:
            raise SuiteError(f"--metric {name} came twice, expected each metric once")
    if options.budgets is not None:
        refuse_limits(options)
        return _from_file(options.budgets, stated, options.variant.stem)
    return _from_options(
        stated or [DEFAULT_METRIC], options.drop_points or [], options.equivalent_points or []
    )


def refuse_limits(options: argparse.Namespace) -> None:
    """Raises SuiteError where a limit of the command line came with --budgets."""
    for flag in ("drop_points", "equivalent_points", "pooled_points"):
        if getattr(options, flag):
            raise SuiteError(f"--{flag.replace('_', '-')} and --budgets came, expected one of them")


def _from_options(metrics: Sequence[str], points: Sequence[float], equivalent: Sequence[float]) -> Asked:
    tables = limits_of_each(metrics, points, equivalent)
    flag = "--drop-points" if points else "--equivalent-points"
    budgets = resolve_budgets({"budgets": tables}, ("",), flag)
    return Asked(tuple(metrics), budgets[""].quality)


def _from_file(path: Path, metrics: Sequence[str], variant: str) -> Asked:
    """[budgets] of a file; those of [budgets.variants.NAME] where the variant's file is called NAME."""
    data = read_suite_text(path, str(path)).data
    if "budgets" not in data:
        raise SuiteError(f"{path}: no table [budgets]{format_suggestion('budgets', data)}")
    if not isinstance(data["budgets"], Mapping):
        raise SuiteError(f"{path} budgets: {format_value(data['budgets'])} came, expected a table [budgets]")
    tables = data["budgets"].get("variants")
    names = [name for name in tables if name != "teacher"] if isinstance(tables, Mapping) else []
    resolved = resolve_budgets(data, (*names, variant), str(path), without_builds=True)[variant]
    budgets, over_builds = resolved.drop_over_builds()
    if over_builds and not budgets.quality and budgets.behaviour == BehaviourBudgets():
        raise SuiteError(f"{path} [budgets]: {_NOT_OF_ONE}: {', '.join(over_builds)}")
    if not budgets.quality and budgets.behaviour == BehaviourBudgets():
        raise SuiteError(
            f"{path} [budgets]: no budget on a metric, such as accuracy = {{ drop_points = 2.0 }}"
        )
    warnings = [*_others(path, budgets)]
    if over_builds:
        warnings.append(f"{path}: {_NOT_OF_ONE}: {', '.join(over_builds)}")
    if data["budgets"].get("teacher"):
        warnings.append(f"{path}: budgets of the teacher are not judged from predictions")
    warnings += [
        f"{path} switches off {budget.budget} {budget.kind} {budget.limit:g} for {variant}: {budget.reason}"
        for budget in budgets.switched_off
    ]
    if names and variant not in names:
        warnings.append(
            f"{path} has budgets of {', '.join(names)} and none of {variant} (the name of the variant's "
            "file): the common ones are judged"
        )
    measured = dict.fromkeys([*metrics, *budgets.quality]) or {DEFAULT_METRIC: None}
    behaviour = replace(budgets.behaviour, tokens={})
    return Asked(tuple(measured), budgets.quality, behaviour, tuple(warnings))


def _others(path: Path, budgets: VariantBudgets) -> list[str]:
    """Budgets that two files of predictions cannot answer, such as size and speed."""
    none: Any = VariantBudgets()
    names = [
        table.name
        for table in fields(budgets)
        if table.name not in ("quality", "behaviour", "switched_off")
        and getattr(budgets, table.name) != getattr(none, table.name)
    ]
    names += budgets.behaviour.tokens
    return [f"{path}: budgets on {' and '.join(names)} are not judged from predictions"] if names else []
