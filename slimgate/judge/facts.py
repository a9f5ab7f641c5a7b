"""Judgements as the record has them: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.verdict import BudgetVerdict, QualityJudgement


def quality_facts(
    judged: QualityJudgement, message: str, wishes: Sequence[OnInconclusive] = ()
) -> dict[str, Any]:
    """A judged metric of a variant. message: its line; wishes: what INCONCLUSIVE does, of each budget."""
    return {
        "teacher": judged.teacher,
        "value": judged.value,
        "drop_points": judged.drop_points,
        "interval": list(judged.interval) if judged.interval else None,
        "level": judged.level,
        "method": judged.method,
        "n": judged.n,
        "n_needed": judged.n_needed,
        "budgets": [budget_facts(*pair) for pair in zip_longest(judged.budgets, wishes)],
        "verdict": judged.verdict.value if judged.verdict else None,
        "band": judged.band,
        "groups": judged.groups,
        "design_effect": judged.design_effect,
        "variance": judged.variance,
        "warnings": list(judged.warnings),
        "message": message,
        "unit": judged.unit,
    }


def budget_facts(budget: BudgetVerdict, on_inconclusive: OnInconclusive | None = None) -> dict[str, Any]:
    """A judged budget. on_inconclusive: what it does where undecided; None where it never is."""
    return {
        "kind": budget.kind,
        "limit": budget.limit,
        "verdict": budget.verdict.value,
        "reason": budget.reason,
        "on_inconclusive": on_inconclusive,
        "n_needed": budget.n_needed,
        "value": budget.value,
        "interval": list(budget.interval) if budget.interval else None,
    }
