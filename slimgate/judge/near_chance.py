"""Detects a teacher that gets no row right, or does not beat the most frequent label.

Copies of such a teacher are useless too.
"""

from __future__ import annotations

import numpy as np

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.results.base import Verdict


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
        load_metric("accuracy"), outcomes, outcomes, [QualityBudget("floor", share)]
    ).budgets[0]
    if judged.verdict is Verdict.PASS or judged.value is None or judged.interval is None:
        return None
    low, high = judged.interval
    return (
        f"its accuracy {judged.value:.3f} [{low:.3f}, {high:.3f}] is not shown to be above {share:.3f}, the "
        f"share of the most frequent label ({label})"
    )
