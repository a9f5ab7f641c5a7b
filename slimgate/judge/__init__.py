"""Statistics and verdicts: numbers in, verdicts out. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate._system.lazy_names import lazy_names

if TYPE_CHECKING:
    from slimgate.judge.budget_kinds import QualityBudget, check_budget
    from slimgate.judge.quality import judge_quality
    from slimgate.judge.verdict import QualityJudgement
    from slimgate.results.base import BudgetFacts, Verdict, worst_verdict

__all__ = [
    "BudgetFacts",
    "QualityBudget",
    "QualityJudgement",
    "Verdict",
    "check_budget",
    "judge_quality",
    "worst_verdict",
]
__getattr__ = lazy_names(
    __name__,
    {
        "BudgetFacts": "slimgate.results.base",
        "QualityBudget": "slimgate.judge.budget_kinds",
        "QualityJudgement": "slimgate.judge.verdict",
        "Verdict": "slimgate.results.base",
        "check_budget": "slimgate.judge.budget_kinds",
        "judge_quality": "slimgate.judge.quality",
        "worst_verdict": "slimgate.results.base",
    },
)
