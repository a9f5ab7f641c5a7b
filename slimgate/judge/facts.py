"""Judgements in the form of the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from slimgate.judge.verdict import QualityJudgement
from slimgate.results.base import BudgetFacts, OnInconclusive
from slimgate.results.baseline import SinceFacts
from slimgate.results.quality import DropFigures, QualityFacts, QualityFigures


def quality_facts(
    judged: QualityJudgement, message: str, on_undecided: Sequence[OnInconclusive] = (), *, measured: str
) -> QualityFacts:
    """A judged metric of a variant.

    message: its line. on_undecided: what each budget does if it is undecided. measured: when.
    """
    figures = QualityFigures.model_validate(judged, from_attributes=True)
    budgets = [
        replace(budget, on_inconclusive=action)
        for budget, action in zip_longest(judged.budgets, on_undecided)
    ]
    return QualityFacts(**{**dict(figures), "budgets": budgets}, message=message, measured=measured)


def since_facts(
    judged: QualityJudgement, on_undecided: Sequence[OnInconclusive], message: str, *, measured: str
) -> SinceFacts:
    """A metric of this run, with the baseline in the teacher's place; arguments as in quality_facts."""
    changed = judged.changed
    figures = DropFigures.model_validate(judged, from_attributes=True)
    return SinceFacts(
        **{**dict(figures), "budgets": add_actions(judged.budgets, on_undecided)},
        baseline=judged.teacher,
        value=judged.value,
        n=judged.n,
        right_to_wrong=changed and changed.right_to_wrong,
        wrong_to_right=changed and changed.wrong_to_right,
        message=message,
        measured=measured,
    )


def add_actions(budgets: Sequence[BudgetFacts], on_undecided: Sequence[OnInconclusive]) -> list[BudgetFacts]:
    """Judged budgets with what each does if it is undecided."""
    return [
        replace(budget, on_inconclusive=action) for budget, action in zip(budgets, on_undecided, strict=True)
    ]
