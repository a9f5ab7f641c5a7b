"""A variant held against itself in the baseline: the judge's paired tests, that in the teacher's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slimgate.judge.budget_kinds import OnInconclusive, QualityBudget
from slimgate.judge.facts import budget_facts
from slimgate.judge.verdict import BudgetVerdict, QualityJudgement, Verdict


def since_facts(judged: QualityJudgement, wishes: Sequence[OnInconclusive], message: str) -> dict[str, Any]:
    """As the record has it. wishes: what INCONCLUSIVE does, of each budget."""
    changed = judged.changed
    return {
        "baseline": judged.teacher,
        "value": judged.value,
        "drop_points": judged.drop_points,
        "unit": judged.unit,
        "interval": list(judged.interval) if judged.interval else None,
        "level": judged.level,
        "method": judged.method,
        "n": judged.n,
        "n_needed": judged.n_needed,
        "right_to_wrong": changed and changed.right_to_wrong,
        "wrong_to_right": changed and changed.wrong_to_right,
        "budgets": [budget_facts(*pair) for pair in zip(judged.budgets, wishes, strict=True)],
        "verdict": judged.verdict and judged.verdict.value,
        "warnings": list(judged.warnings),
        "message": message,
    }


def undecided(budgets: Sequence[QualityBudget]) -> tuple[BudgetVerdict, ...]:
    """The verdicts on rows that cannot be paired: no number of them would tell."""
    return tuple(
        BudgetVerdict(one.kind, one.limit, Verdict.INCONCLUSIVE, one.reason, None) for one in budgets
    )


def waiting_facts(budget: QualityBudget, wish: OnInconclusive) -> dict[str, Any]:
    """A budget of a variant that is new, as the record has it. wish: what INCONCLUSIVE will do."""
    return {"kind": budget.kind, "limit": budget.limit, "reason": budget.reason, "on_inconclusive": wish}
