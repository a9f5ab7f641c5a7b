"""Behaviour: what a variant answers otherwise than its teacher, and whether the budgets on that hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.calibration import brier_score, confidences, expected_calibration_error, reliability
from slimgate.judge.confusion_counts import MOST_CLASSES_OF_A_MATRIX, confusion_cells, confusion_counts
from slimgate.judge.divergence import kl_to_teacher
from slimgate.judge.facts import budget_facts
from slimgate.judge.flips import FlipsBudget, FlipShare, flip_share, judge_flips, surest_lost, turned
from slimgate.judge.slice_gaps import slice_gaps
from slimgate.judge.slices import (
    Slice,
    SliceBudget,
    SliceJudgement,
    judge_slices,
    label_slices,
    slices_verdict,
)
from slimgate.judge.tradeoff import tradeoff
from slimgate.judge.verdict import BudgetVerdict, Verdict, combined
from slimgate.metrics.base import Metric
from slimgate.outcomes import Floats, Ints, Outcomes, same_rows

Texts = Callable[[Ints], Sequence[str]]


@dataclass(frozen=True)
class BehaviourBudgets:
    """flips: on the share of rows that turn from right to wrong; slices: by metric, on every slice."""

    flips: FlipsBudget | None = None
    slices: Mapping[str, SliceBudget] = field(default_factory=dict)


@dataclass(frozen=True)
class BehaviourJudgement:
    """slices: of each metric in turn, the largest drop first. verdict: None without a budget."""

    flips: FlipShare
    slices: tuple[SliceJudgement, ...]
    budgets: tuple[BudgetVerdict, ...]
    verdict: Verdict | None


def judge_behaviour(
    teacher: Outcomes,
    variant: Outcomes,
    budgets: BehaviourBudgets,
    *,
    metrics: Mapping[str, Metric],
    columns: Sequence[Slice] = (),
) -> BehaviourJudgement:
    """Judges flips, and each of the metrics on every label and on the slices of `columns`.

    metrics: of 0/1 per row, by the names that budgets know them by; those with a budget on slices must be
    among them. Raises MeasureError where the rows are none or not paired, SuiteError for a metric that cannot
    be judged on slices.
    """
    _comparable(teacher, variant)
    share = flip_share(teacher, variant)
    judged = [] if budgets.flips is None else [judge_flips(share, budgets.flips)]
    slices: list[SliceJudgement] = []
    parts = [*columns, *label_slices(teacher)]
    for name, metric in metrics.items():
        budget = budgets.slices.get(name)
        found = judge_slices(replace(metric, name=name), teacher, variant, parts, budget)
        slices += found
        if budget is not None:
            judged.append(slices_verdict(name, found, budget))
    return BehaviourJudgement(share, tuple(slices), tuple(judged), combined([one.verdict for one in judged]))


def behaviour(teacher: Outcomes, variant: Outcomes, *, texts: Texts | None = None) -> dict[str, Any]:
    """What the record holds of a variant's behaviour without any budget: plain values, ready for JSON.

    texts: the texts of rows by their positions, for the rows that are quoted. Up to 30 classes both confusion
    matrices stand whole; with more, their cells that are not empty. Raises MeasureError as judge_behaviour.
    """
    _comparable(teacher, variant)
    lost, won = turned(teacher, variant)
    changed = int((teacher.predictions != variant.predictions).sum())
    flips = {"right_to_wrong": len(lost), "wrong_to_right": len(won), "changed": changed}
    return {
        "n": len(teacher),
        "flips": {**flips, "quoted": _quoted(teacher, variant, texts)},
        "agreement": 1 - changed / len(teacher),
        "kl_to_teacher": kl_to_teacher(teacher, variant),
        "ece": expected_calibration_error(variant),
        "ece_teacher": expected_calibration_error(teacher),
        "brier": brier_score(variant),
        "brier_teacher": brier_score(teacher),
        "reliability": _plain(reliability(variant)),
        "reliability_teacher": _plain(reliability(teacher)),
        "tradeoff": _plain(tradeoff(variant)),
        "tradeoff_teacher": _plain(tradeoff(teacher)),
        **_confusion(teacher, variant),
    }


def behaviour_facts(measured: Mapping[str, Any], judged: BehaviourJudgement, message: str) -> dict[str, Any]:
    """The record's `behaviour`: what was measured, and what was judged of it. message: its line."""
    share = judged.flips
    flips = {
        **measured["flips"],
        "percent": 100 * share.share,
        "interval": [100 * bound for bound in share.interval],
        "groups": share.groups,
        "design_effect": share.design_effect,
    }
    return {
        **measured,
        "flips": flips,
        "slices": [{**asdict(one), "verdict": one.verdict and one.verdict.value} for one in judged.slices],
        "slice_gaps": [asdict(gap) for gap in slice_gaps(judged.slices)],
        "budgets": [budget_facts(one) for one in judged.budgets],
        "verdict": judged.verdict and judged.verdict.value,
        "message": message,
    }


def _comparable(teacher: Outcomes, variant: Outcomes) -> None:
    same_rows(teacher, variant)
    if not len(teacher):
        raise MeasureError("behaviour: there are no gate rows to compare")


def _quoted(teacher: Outcomes, variant: Outcomes, texts: Texts | None) -> list[dict[str, Any]]:
    rows = surest_lost(teacher, variant)
    before, after = confidences(teacher), confidences(variant)
    shown: Sequence[str | None] = [None] * len(rows) if texts is None else texts(rows)
    return [
        {
            "id": str(teacher.ids[row]),
            "label": teacher.classes[teacher.labels[row]],
            "teacher": teacher.classes[teacher.predictions[row]],
            "teacher_confidence": _one(before, row),
            "variant": variant.classes[variant.predictions[row]],
            "variant_confidence": _one(after, row),
            "text": text,
        }
        for row, text in zip(rows, shown, strict=True)
    ]


def _one(values: Floats | None, row: np.int64) -> float | None:
    return None if values is None else float(values[row])


def _plain(found: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    return None if found is None else [asdict(one) for one in found]


def _confusion(teacher: Outcomes, variant: Outcomes) -> dict[str, Any]:
    if len(teacher.classes) > MOST_CLASSES_OF_A_MATRIX:
        return {"confusion_cells": confusion_cells(teacher, variant)}
    return {
        "confusion": confusion_counts(variant).tolist(),
        "confusion_teacher": confusion_counts(teacher).tolist(),
    }
