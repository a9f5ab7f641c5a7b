"""What two prediction files shall be judged by: metrics, and the budgets on them and on what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from slimgate._system.toml import format_value
from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.behaviour_budgets import BehaviourBudgets
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.logs.target_budgets import (
    CHANGES,
    describe_not_judged,
    describe_switched_off,
    resolve_for_target,
)

DEFAULT_METRIC = "accuracy"
_NOT_OF_ONE = 'budgets with over = "builds" are not judged from the predictions of one build'


@dataclass(frozen=True)
class PredictionBudgets:
    """metrics: what to measure, in order. budgets: by metric, what gates; behaviour: on flips and slices.

    warnings: budgets that are not judged, and why.
    """

    metrics: tuple[str, ...]
    budgets: Mapping[str, tuple[QualityBudget, ...]]
    behaviour: BehaviourBudgets = field(default_factory=BehaviourBudgets)
    warnings: tuple[str, ...] = ()


def read_prediction_budgets(
    data: Mapping[str, Any], target: str, shown: str, metrics: Sequence[str] = ()
) -> PredictionBudgets:
    """[budgets] of a file, with those of [budgets.variants.NAME] where the target is called NAME.

    data: the whole file. metrics: measured beside those that have a budget. Raises SuiteError.
    """
    if "budgets" not in data:
        raise SuiteError(f"{shown}: no table [budgets]{format_suggestion('budgets', data)}")
    if not isinstance(data["budgets"], Mapping):
        raise SuiteError(f"{shown} budgets: {format_value(data['budgets'])} came, expected a table [budgets]")
    tables = data["budgets"].get("variants")
    names = [name for name in tables if name != "teacher"] if isinstance(tables, Mapping) else []
    budgets, over_builds = resolve_for_target(data, target, shown).drop_over_builds()
    behaviour = replace(budgets.behaviour, tokens={})
    if not budgets.quality and behaviour == BehaviourBudgets() and not budgets.switched_off:
        problem = "no budget on a metric, such as accuracy = { drop_points = 2.0 }"
        problem = f"{_NOT_OF_ONE}: {', '.join(over_builds)}" if over_builds else problem
        raise SuiteError(f"{shown} [budgets]: {problem}")
    judged = (*budgets.quality, *CHANGES)
    warnings = describe_not_judged(budgets, judged, "predictions", shown)
    if over_builds:
        warnings.append(f"{shown}: {_NOT_OF_ONE}: {', '.join(over_builds)}")
    if data["budgets"].get("teacher"):
        warnings.append(f"{shown}: budgets of the teacher are not judged from predictions")
    warnings += describe_switched_off(budgets, target, shown)
    if names and target not in names:
        warnings.append(
            f"{shown} has budgets of {', '.join(names)} and none of {target} (the name of the variant's "
            "file): the common ones are judged"
        )
    measured = dict.fromkeys([*metrics, *budgets.quality]) or {DEFAULT_METRIC: None}
    return PredictionBudgets(tuple(measured), budgets.quality, behaviour, tuple(warnings))
