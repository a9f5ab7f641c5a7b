"""Statistics and verdicts: numbers in, verdicts out. Imports no torch."""

from __future__ import annotations

from slimgate.judge.message import message
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import (
    BudgetVerdict,
    QualityBudget,
    QualityJudgement,
    Verdict,
    check_budget,
    worst_verdict,
)

__all__ = [
    "BudgetVerdict",
    "QualityBudget",
    "QualityJudgement",
    "Verdict",
    "check_budget",
    "judge_quality",
    "message",
    "worst_verdict",
]
