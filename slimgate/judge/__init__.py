"""Statistics and verdicts: numbers in, verdicts out. Imports no torch.

    decision.py         when a verdict is PASS, FAIL or INCONCLUSIVE, and how a PASS is withheld
    quality.py          judges one metric of a variant; its result is in verdict.py
    evidence.py         the p-values and the interval that the rows give
    metric_budgets.py   the test of each budget on a metric
    family.py           Holm's correction of several verdicts
    speed.py            the speed-up of a duel, from paired times
    call_times.py       the milliseconds of a call
    message.py          the line of a verdict

The tables of [budgets] are in budget_tables.py and latency_budgets.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate._system.lazy_names import make_lazy_getattr

if TYPE_CHECKING:
    from slimgate.judge.budget_kinds import QualityBudget, check_budget
    from slimgate.judge.quality import judge_quality
    from slimgate.judge.verdict import QualityJudgement
    from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict

__all__ = [
    "BudgetFacts",
    "QualityBudget",
    "QualityJudgement",
    "Verdict",
    "check_budget",
    "find_worst_verdict",
    "judge_quality",
]
__getattr__ = make_lazy_getattr(
    __name__,
    {
        "BudgetFacts": "slimgate.results.base",
        "QualityBudget": "slimgate.judge.budget_kinds",
        "QualityJudgement": "slimgate.judge.verdict",
        "Verdict": "slimgate.results.base",
        "check_budget": "slimgate.judge.budget_kinds",
        "judge_quality": "slimgate.judge.quality",
        "find_worst_verdict": "slimgate.results.base",
    },
)
