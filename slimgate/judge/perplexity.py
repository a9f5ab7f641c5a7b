"""Perplexity: has the variant's grown by more than its budget? Paired, by documents.

log ratio = (sum of the variant's nats - sum of the teacher's) / tokens, by the bound of `mean_bound` over
whole documents, whose tokens are not independent. Nats have no upper end, so the bound assumes how much a
document can lose that the sample does not have: DAMAGE nats a token (slimgate/judge/metrics/perplexity.py),
or the
most that any document changed. With 60 documents of which none was damaged, 1 % of damaged documents cannot
be ruled out, and no budget under 5 % passes. reports/simulations/perplexity_verdicts.md has the error rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log
from math import exp as exponential
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA, LEVEL, BudgetVerdict, Verdict, band, to_verdict, worst_verdict
from slimgate.judge.mean_bound import UnitLosses, unit_losses
from slimgate.judge.metrics.base import Unit
from slimgate.judge.metrics.perplexity import DAMAGE
from slimgate.judge.verdict import QualityJudgement, most_rows
from slimgate.outcomes import Floats, Ints, Outcomes

METHOD = "Gaffke's bound over documents"
# Of a larger number the exponential times 100 is no float64.
_LARGEST = 700.0


@dataclass(frozen=True)
class _Perplexity:
    """As a budget is checked against it."""

    name: str = "perplexity"
    higher_is_better: bool = False
    value_range: tuple[float, float] = (1.0, inf)
    resampled: bool = True
    no_budget: str = ""
    over_builds: bool = False
    unit: Unit = "percent"


PERPLEXITY = _Perplexity()


def judge_perplexity(
    teacher: Floats,
    variant: Floats,
    tokens: Ints,
    budgets: Sequence[QualityBudget],
    *,
    groups: Ints | None = None,
) -> QualityJudgement:
    """Judges increase_relative and ceiling. groups: (documents,) of documents that are not independent.

    teacher, variant: (documents,) sums of negative log-likelihoods, in nats; tokens: (documents,) how many
    each sum is of. In the judgement teacher and value are perplexities, drop_points and interval percent of
    the teacher's perplexity, n and n_needed documents.
    Raises MeasureError for columns that do not fit or are not finite, SuiteError for other budgets.
    """
    for budget in budgets:
        check_budget(PERPLEXITY, budget)
    _check(teacher, variant, tokens)
    rows = len(tokens)
    if groups is not None:
        teacher, variant, tokens = (_sum_by_group(column, groups) for column in (teacher, variant, tokens))
    difference, own = _difference(teacher, variant, tokens), _own_nats_per_token(variant, tokens)
    judged = tuple(_judge(budget, difference, own, rows) for budget in budgets)
    before, after = own.mean - difference.mean, own.mean
    grown = 100 * (exp(difference.mean) - 1)
    return QualityJudgement(
        metric=PERPLEXITY.name,
        teacher=exp(before),
        value=exp(after),
        drop_points=grown,
        interval=_percent(difference.interval()),
        level=LEVEL,
        method=METHOD,
        n=rows,
        n_needed=most_rows(judged),
        budgets=judged,
        verdict=worst_verdict([one.verdict for one in judged]),
        band=band(grown),
        groups=None if groups is None else len(tokens),
        design_effect=None,
        changed=None,
        variance=rows * difference.standard_error**2,
        warnings=(),
        unit="percent",
        p_at_least=lambda percent: difference.p_at_least(log(1 + percent / 100)),
    )


def perplexity_log_ratio(teacher: Outcomes, variant: Outcomes) -> UnitLosses:
    """ln(variant's perplexity / teacher's), in nats a token, over rows or groups of them."""
    tokens = teacher.column("tokens").astype(np.int64)
    before, after = teacher.column("nats"), variant.column("nats")
    if teacher.groups is not None:
        before, after, tokens = (_sum_by_group(one, teacher.groups) for one in (before, after, tokens))
    return _difference(before, after, tokens)


def _sum_by_group(column: npt.NDArray[Any], groups: Ints) -> npt.NDArray[Any]:
    """(groups,) the sums of each group's documents, of the column's own type."""
    _, member = np.unique(groups, return_inverse=True)
    return np.bincount(member, weights=column).astype(column.dtype)


def _check(teacher: Floats, variant: Floats, tokens: Ints) -> None:
    if not (teacher.shape == variant.shape == tokens.shape and tokens.ndim == 1 and len(tokens)):
        raise MeasureError(
            f"perplexity: teacher, variant and tokens have shapes {teacher.shape}, {variant.shape} and "
            f"{tokens.shape}, expected one number a document of each, and at least one document"
        )
    for name, column in (("teacher", teacher), ("variant", variant)):
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise MeasureError(
                f"perplexity: document {bad[0]} of the {name} has {column[bad[0]]} nats: the model is broken"
            )
    if (tokens <= 0).any():
        at = int(np.flatnonzero(tokens <= 0)[0])
        raise MeasureError(f"perplexity: document {at} has {tokens[at]} tokens, expected at least 1")


def _difference(teacher: Floats, variant: Floats, tokens: Ints) -> UnitLosses:
    """Nats per token by which the variant is worse."""
    lost = variant - teacher
    most = max(DAMAGE, float(np.abs(lost / tokens).max()))
    return unit_losses(lost, tokens.astype(np.float64), None, best=-most, worst=most)


def _own_nats_per_token(nats: Floats, tokens: Ints) -> UnitLosses:
    """The variant's nats per token."""
    worst = float((nats / tokens).max()) + DAMAGE
    return unit_losses(nats, tokens.astype(np.float64), None, best=0.0, worst=worst)


def _judge(budget: QualityBudget, difference: UnitLosses, own: UnitLosses, rows: int) -> BudgetVerdict:
    """On the log scale: the log ratio against log(1 + limit), or the log perplexity against log(limit)."""
    relative = budget.kind == "increase_relative"
    measured, limit = (difference, log(1 + budget.limit)) if relative else (own, log(budget.limit))
    p_value = measured.p_at_least(limit)
    verdict = to_verdict(inside=p_value <= ALPHA, outside=measured.p_at_most(limit) <= ALPHA)
    copies = measured.copies_needed(limit) if verdict is Verdict.INCONCLUSIVE else None
    needed = None if copies is None else ceil(copies * rows)
    less = 1 if relative else 0
    low, high = measured.interval()
    shown = exp(low) - less, exp(high) - less
    return BudgetVerdict(
        budget.kind, budget.limit, verdict, budget.reason, needed, exp(measured.mean) - less, shown, p_value
    )


def exp(value: float) -> float:
    """The exponential, or the largest there is: bounds of few documents may lie beyond all numbers."""
    return exponential(min(value, _LARGEST))


def _percent(logs: Interval) -> Interval:
    return 100 * (exp(logs[0]) - 1), 100 * (exp(logs[1]) - 1)
