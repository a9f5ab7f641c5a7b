"""A model compared with itself: nothing was lost, however few rows there are."""

from __future__ import annotations

from dataclasses import replace

from slimgate.judge.verdict import QualityJudgement
from slimgate.results.base import Verdict

UNCHANGED = "the same files, libraries and processor as then gave the same answers, so nothing can be lost"


def judge_unchanged(judged: QualityJudgement) -> QualityJudgement:
    """The judgement if both sides are the same model and gave the same answer to every row.

    Its true drop is 0. An interval for rows that were not drawn would say less than is known. Each budget
    here limits a change, so each holds.
    """
    budgets = tuple(
        replace(
            budget,
            verdict=Verdict.PASS,
            interval=budget.interval and (0.0, 0.0),
            n_needed=None,
            p_value=0.0,
            p_holds=1.0,
        )
        for budget in judged.budgets
    )
    return replace(
        judged,
        interval=judged.interval and (0.0, 0.0),
        n_needed=None,
        budgets=budgets,
        verdict=Verdict.PASS if budgets else None,
        warnings=(*judged.warnings, UNCHANGED),
        withheld=None,
    )
