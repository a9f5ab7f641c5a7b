"""Detects a model that gets no row right, or does not beat the most frequent label.

Copies of such a teacher are useless too. Such a variant of a good teacher may still be within its budget, if
almost all rows have one label.
"""

from __future__ import annotations

import numpy as np

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.results.base import Verdict

ACCURACY = "accuracy"
REMEDY = "choose a smaller limit, or a budget on slices or on balanced_accuracy"


def describe_near_chance(outcomes: Outcomes) -> str | None:
    """Why a model may have learnt nothing. None if it beats chance, or if answers are not right or wrong.

    The accuracy of a classifier, by the interval of a `floor`, is compared with the share of the most
    frequent label, which is never less than chance. Other models need at least one right row.
    """
    if not len(outcomes) or outcomes.right is None:
        return None
    if not isinstance(outcomes, ClassOutcomes):
        return None if outcomes.right.any() else f"none of its {len(outcomes)} answers is right"
    counts = np.bincount(outcomes.labels, minlength=len(outcomes.classes))
    share, label = float(counts.max() / len(outcomes)), outcomes.classes[int(counts.argmax())]
    if share == 1:
        return f"all gate rows have the label {label}"
    judged = judge_quality(
        load_metric(ACCURACY), outcomes, outcomes, [QualityBudget("floor", share)]
    ).budgets[0]
    if judged.verdict is Verdict.PASS or judged.value is None or judged.interval is None:
        return None
    low, high = judged.interval
    return (
        f"its accuracy {judged.value:.3f} [{low:.3f}, {high:.3f}] is not shown to be above {share:.3f}, the "
        f"share of the most frequent label ({label})"
    )


def describe_useless_pass(judged: QualityJudgement, teacher: Outcomes, variant: Outcomes) -> str | None:
    """Why a PASS of the accuracy may say nothing: the variant is near chance, and its teacher is not."""
    if judged.metric != ACCURACY or judged.verdict is not Verdict.PASS or describe_near_chance(teacher):
        return None
    reason = describe_near_chance(variant)
    return None if reason is None else f"{reason}: {REMEDY}"
