"""Perplexity: whether the variant's grew by more than its budget. Paired, by documents.

log ratio = (sum of the variant's nats - sum of the teacher's) / tokens, by the bound of `mean_bound` over
whole documents, whose tokens are not independent. Nats have no upper end, so a document counts for at most
`cap` nats a token, and the share of documents that lost more, by their tokens, is judged too (`capped`). With
60 documents of which none was damaged, 5 % of damaged documents cannot be ruled out.

A ceiling is on the variant's own nats a token. Its bound assumes that no document is more than WORST times
CAP nats a token above the worst of the teacher's, or of the variant's.
reports/simulations/perplexity_verdicts.md has the error rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.capped import WORST, CappedRows, choose_cap, judge_capped_mean, judge_with_share_above
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import LEVEL, choose_band, decide
from slimgate.judge.mean_bound import UnitLosses, sum_by_unit
from slimgate.judge.metrics.language_model import CAP, METRICS
from slimgate.judge.rows_needed import count_rows
from slimgate.judge.verdict import QualityJudgement, find_most_rows
from slimgate.outcomes import Floats, Ints, Outcomes
from slimgate.results.base import BudgetFacts

METHOD = "Gaffke's bound over documents"
# The exponential of a larger number, times 100, exceeds float64.
_LARGEST = 700.0


def judge_perplexity(
    teacher: Floats,
    variant: Floats,
    tokens: Ints,
    budgets: Sequence[QualityBudget],
    *,
    groups: Ints | None = None,
    cap: float = CAP,
) -> QualityJudgement:
    """Judges increase_relative and ceiling.

    teacher, variant: (documents,) sums of negative log-likelihoods, in nats; tokens: (documents,) the number
    of tokens of each sum. groups: (documents,) of documents that are not independent. cap: nats a token that
    a document counts for at most, if the budgets do not state it.

    In the judgement teacher and value are perplexities, drop_points and interval
    percent of the teacher's perplexity, n and n_needed documents. The growth and its interval are of the
    capped mean.
    Raises MeasureError for columns that do not fit or are not finite, SuiteError for other budgets.
    """
    for budget in budgets:
        check_budget(METRICS["perplexity"], budget)
    _check_columns(teacher, variant, tokens)
    rows = _make_capped_rows(teacher, variant, tokens, groups, budgets, cap)
    worst = max(float((teacher / tokens).max()) + WORST * cap, float((variant / tokens).max()))
    # the variant's nats per token
    variant_losses = sum_by_unit(variant, tokens.astype(np.float64), groups, best=0.0, worst=worst)
    change = rows.capped
    judged = tuple(_judge_budget(budget, rows, variant_losses) for budget in budgets)
    grown = 100 * (exp_in_range(change.mean) - 1)
    return QualityJudgement(
        metric="perplexity",
        teacher=exp_in_range(variant_losses.mean - rows.mean),
        value=exp_in_range(variant_losses.mean),
        drop_points=grown,
        interval=_convert_to_percent(change.compute_interval()),
        level=LEVEL,
        method=METHOD,
        n=len(tokens),
        n_needed=find_most_rows(judged),
        budgets=judged,
        band=choose_band(grown),
        groups=None if groups is None else len(np.unique(groups)),
        design_effect=None,
        changed=None,
        variance=len(tokens) * change.standard_error**2,
        warnings=(),
        unit="percent",
        p_at_least=lambda percent: change.p_at_least(log(1 + percent / 100)),
    )


def compute_log_ratio(teacher: Outcomes, variant: Outcomes) -> UnitLosses:
    """ln(variant's perplexity / teacher's), in nats a token, each row capped, over rows or groups of them."""
    tokens = teacher.column("tokens").astype(np.int64)
    return _make_capped_rows(
        teacher.column("nats"), variant.column("nats"), tokens, teacher.groups, ()
    ).capped


def _make_capped_rows(
    teacher: Floats,
    variant: Floats,
    tokens: Ints,
    groups: Ints | None,
    budgets: Sequence[QualityBudget],
    usual: float = CAP,
) -> CappedRows:
    """Nats per token by which the variant is worse."""
    return CappedRows(variant - teacher, tokens.astype(np.float64), groups, choose_growth_cap(budgets, usual))


def choose_growth_cap(budgets: Sequence[QualityBudget], usual: float = CAP) -> float:
    """The most nats a token that a document counts for; the budgets of one table have the same cap."""
    relative = [budget for budget in budgets if budget.kind == "increase_relative"]
    stated = next((budget.cap for budget in relative if budget.cap is not None), None)
    allowed = max((log(1 + budget.limit) for budget in relative), default=0.0)
    return choose_cap(usual, allowed) if stated is None else stated


def _check_columns(teacher: Floats, variant: Floats, tokens: Ints) -> None:
    if not (teacher.shape == variant.shape == tokens.shape and tokens.ndim == 1 and len(tokens)):
        raise MeasureError(
            f"perplexity: teacher, variant and tokens have shapes {teacher.shape}, {variant.shape} and "
            f"{tokens.shape}, expected one number per document of each, and at least one document"
        )
    for name, column in (("teacher", teacher), ("variant", variant)):
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise MeasureError(
                f"perplexity: document {bad[0]} of the {name} has {column[bad[0]]} nats, so the model is "
                "broken"
            )
    if (tokens <= 0).any():
        at = int(np.flatnonzero(tokens <= 0)[0])
        raise MeasureError(f"perplexity: document {at} has {tokens[at]} tokens, expected at least 1")


def _judge_budget(budget: QualityBudget, rows: CappedRows, variant_losses: UnitLosses) -> BudgetFacts:
    if budget.kind == "ceiling":
        return _judge_ceiling(budget, variant_losses, len(rows.sizes))
    return judge_increase(budget, rows)


def judge_increase(budget: QualityBudget, rows: CappedRows) -> BudgetFacts:
    """Compares the log ratio, in nats a token, with log(1 + limit)."""
    limit = log(1 + budget.limit)
    judged = judge_with_share_above(
        judge_capped_mean(budget, rows, limit),
        rows,
        limit,
        allowed=limit,
        above_max=budget.above_cap_max,
        uncapped=_compute_growth(rows.mean),
    )
    low, high = rows.capped.compute_interval()
    return replace(
        judged,
        value=_compute_growth(rows.capped.mean),
        interval=(_compute_growth(low), _compute_growth(high)),
    )


def _judge_ceiling(budget: QualityBudget, variant_losses: UnitLosses, rows: int) -> BudgetFacts:
    """Compares the log perplexity with log(limit)."""
    limit = log(budget.limit)
    low, high = variant_losses.compute_interval()

    return decide(
        budget,
        variant_losses.p_at_least(limit),
        variant_losses.p_at_most(limit),
        find_rows=lambda: count_rows(variant_losses.compute_copies_needed(limit), rows),
        value=exp_in_range(variant_losses.mean),
        interval=(exp_in_range(low), exp_in_range(high)),
    )


def _compute_growth(log_ratio: float) -> float:
    return exp_in_range(log_ratio) - 1


def exp_in_range(value: float) -> float:
    """The exponential, as a finite number: the bounds of few documents may be too large for a float."""
    return exp(min(value, _LARGEST))


def _convert_to_percent(logs: Interval) -> Interval:
    return 100 * (exp_in_range(logs[0]) - 1), 100 * (exp_in_range(logs[1]) - 1)
