"""Judgements as the record has them: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.parts import BudgetFacts, DropFigures, QualityFigures
from slimgate.judge.verdict import BudgetVerdict, QualityJudgement


def quality_facts(
    judged: QualityJudgement, message: str, on_undecided: Sequence[OnInconclusive] = ()
) -> dict[str, Any]:
    """A judged metric of a variant. message: its line; on_undecided: of each budget."""
    figures = QualityFigures.model_validate(judged, from_attributes=True).model_dump(mode="json")
    budgets = [budget_facts(*pair) for pair in zip_longest(judged.budgets, on_undecided)]
    return {**figures, "budgets": budgets, "message": message}


def since_facts(
    judged: QualityJudgement, on_undecided: Sequence[OnInconclusive], message: str
) -> dict[str, Any]:
    """A metric of now and of the baseline, which stands in the teacher's place; as in quality_facts."""
    changed = judged.changed
    return {
        **DropFigures.model_validate(judged, from_attributes=True).model_dump(mode="json"),
        "baseline": judged.teacher,
        "value": judged.value,
        "n": judged.n,
        "right_to_wrong": changed and changed.right_to_wrong,
        "wrong_to_right": changed and changed.wrong_to_right,
        "budgets": [budget_facts(*pair) for pair in zip(judged.budgets, on_undecided, strict=True)],
        "message": message,
    }


def budget_facts(budget: BudgetVerdict, on_inconclusive: OnInconclusive | None = None) -> dict[str, Any]:
    """A judged budget. on_inconclusive: what it does where undecided; None where it never is."""
    facts = BudgetFacts.model_validate(budget, from_attributes=True).model_dump(mode="json")
    return {**facts, "on_inconclusive": on_inconclusive}
