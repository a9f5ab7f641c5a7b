"""Judgements as the record has them: plain values, ready for JSON."""

from __future__ import annotations

from typing import Any

from slimgate.judge.verdict import BudgetVerdict, QualityJudgement


def quality_facts(judged: QualityJudgement, message: str) -> dict[str, Any]:
    """A judged metric of a variant. message: its line."""
    return {
        "teacher": judged.teacher,
        "value": judged.value,
        "drop_points": judged.drop_points,
        "interval": list(judged.interval) if judged.interval else None,
        "level": judged.level,
        "method": judged.method,
        "n": judged.n,
        "n_needed": judged.n_needed,
        "budgets": [budget_facts(one) for one in judged.budgets],
        "verdict": judged.verdict.value if judged.verdict else None,
        "band": judged.band,
        "groups": judged.groups,
        "design_effect": judged.design_effect,
        "variance": judged.variance,
        "warnings": list(judged.warnings),
        "message": message,
        "unit": judged.unit,
    }


def budget_facts(budget: BudgetVerdict) -> dict[str, Any]:
    """A judged budget."""
    return {
        "kind": budget.kind,
        "limit": budget.limit,
        "verdict": budget.verdict.value,
        "reason": budget.reason,
        "n_needed": budget.n_needed,
        "value": budget.value,
        "interval": list(budget.interval) if budget.interval else None,
    }
